/* Other names for the simulated database, so that one program can hold it beside the real one:
 * included before everything else where they are compared.
 *
 * Threads  none.
 */
#ifndef TESTS_SIM_ROCKS_NAMES_H
#define TESTS_SIM_ROCKS_NAMES_H

#define rocks_open               sim_rocks_open
#define rocks_close              sim_rocks_close
#define rocks_flush              sim_rocks_flush
#define rocks_verify             sim_rocks_verify
#define rocks_size               sim_rocks_size
#define rocks_memory             sim_rocks_memory
#define rocks_batch_new          sim_rocks_batch_new
#define rocks_batch_free         sim_rocks_batch_free
#define rocks_batch_clear        sim_rocks_batch_clear
#define rocks_batch_count        sim_rocks_batch_count
#define rocks_batch_put          sim_rocks_batch_put
#define rocks_batch_delete       sim_rocks_batch_delete
#define rocks_batch_delete_range sim_rocks_batch_delete_range
#define rocks_write              sim_rocks_write
#define rocks_snapshot_new       sim_rocks_snapshot_new
#define rocks_snapshot_free      sim_rocks_snapshot_free
#define rocks_get                sim_rocks_get
#define rocks_get_durable        sim_rocks_get_durable
#define rocks_slice_close        sim_rocks_slice_close
#define rocks_iter_new           sim_rocks_iter_new
#define rocks_iter_free          sim_rocks_iter_free
#define rocks_iter_seek          sim_rocks_iter_seek
#define rocks_iter_first         sim_rocks_iter_first
#define rocks_iter_last          sim_rocks_iter_last
#define rocks_iter_next          sim_rocks_iter_next
#define rocks_iter_prev          sim_rocks_iter_prev
#define rocks_iter_valid         sim_rocks_iter_valid
#define rocks_iter_key           sim_rocks_iter_key
#define rocks_iter_value         sim_rocks_iter_value
#define rocks_iter_error         sim_rocks_iter_error
#define rocks_story              sim_rocks_story

#endif
