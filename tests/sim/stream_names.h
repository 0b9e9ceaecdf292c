/* Included before everything else in stream/ when it is built for the simulator, whose checkers
 * have a module of the same name: stream/history.h under another one.
 *
 * Threads  constants.
 */
#ifndef TESTS_SIM_STREAM_NAMES_H
#define TESTS_SIM_STREAM_NAMES_H

/* Functions under another name: NOLINTBEGIN(readability-identifier-naming) */
#define history_open    stream_history_open
#define history_is_open stream_history_is_open
#define history_peek    stream_history_peek
#define history_step    stream_history_step
#define history_end     stream_history_end
#define history_close   stream_history_close
/* NOLINTEND(readability-identifier-naming) */

#endif
