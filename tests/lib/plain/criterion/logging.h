/* cr_log_info() is beside the assertions.
 *
 * Threads  any.
 */
#ifndef TESTS_LIB_PLAIN_LOGGING_H
#define TESTS_LIB_PLAIN_LOGGING_H

#include <criterion/criterion.h>

#endif
