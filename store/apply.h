/* Applying: command + state -> one write batch, a reply, changes. No clock, no dice, no disk but
 * the reads of the state; the same commands give the same bytes on every server.
 *
 * Owner    everything in `struct apply` is the state's; commands borrow.
 * Errors   those of reading the state (rocks.h); what a command may not do is a reply, no error.
 * Threads  the hub's.
 */
#ifndef STORE_APPLY_H
#define STORE_APPLY_H

#include "store/collect.h"
#include "store/once.h"
#include "store/rocks.h"
#include "store/schema.h"

struct apply {
    struct rocks *db;
    struct rocks_batch *batch; /* what will be written */
    struct schema_meta meta;   /* as it will be */
    struct collect *out;
    struct once *once;
    uint64_t index;
    uint64_t proposer; /* the command's */
    uint64_t number;
    uint64_t time_ms;
    enum err status;   /* the reply */
    struct buf detail; /* the reply's (struct proposal in store.h) */
    bool replaced;     /* another state took this one's place: what changed is not known */
    struct reason *why;
    /* scratch, kept from one command to the next */
    struct rocks_slice slice;
    struct buf row;
};

/* `command` may be any bytes. Fills `batch`, `meta`, `status` and `out`. */
enum err apply_command(struct apply *a, struct bytes command) ERR_MUST_USE;
/* Fills in index and time, keeps the change for the history and for `out`. */
void apply_change(struct apply *a, struct change *c);

#endif
