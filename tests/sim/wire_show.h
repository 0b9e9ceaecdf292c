/* Messages between servers, as a verbose run tells them; no part of the run itself.
 *
 * Threads  none.
 */
#ifndef TESTS_SIM_WIRE_SHOW_H
#define TESTS_SIM_WIRE_SHOW_H

#include "core/base/buf.h"

struct process;

void wire_show(const struct process *from, unsigned to, const char *what, struct bytes message);

#endif
