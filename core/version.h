/* Which Consul the HTTP interface speaks as: clients that look at the version find the one whose
 * contract and test suite Herald holds (contracts: 1.8.7). HERALD_VERSION comes from meson.build.
 *
 * Threads  constants.
 */
#ifndef CORE_VERSION_H
#define CORE_VERSION_H

#define CONSUL_API_VERSION "1.8.7"

#endif
