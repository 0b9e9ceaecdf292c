/* Applying: command + state -> one write batch, a reply, changes. No clock, no dice, no disk but
 * the reads of the state; the same commands give the same bytes on every server.
 *
 * Owner    everything in `struct apply` is the state's; commands borrow.
 * Reads    through apply_get() and apply_scan_*() a command sees what it wrote itself. Only where
 *          this can matter (`overlaid`) is it kept for that: plain writes of keys do without.
 * Errors   those of reading the state (rocks.h); what a command may not do is a reply, no error.
 * Threads  the hub's.
 */
#ifndef STORE_APPLY_H
#define STORE_APPLY_H

#include "store/collect.h"
#include "store/once.h"
#include "store/overlay.h"
#include "store/rocks.h"
#include "store/schema.h"

struct apply {
    struct rocks *db;
    struct rocks_batch *batch; /* what will be written; put rows with apply_put() */
    bool overlaid;             /* this command reads what it wrote */
    struct overlay written;    /* the same as the batch, if so */
    struct overlay touched;    /* instances whose health this command may change (catalog.h) */
    struct schema_meta meta;   /* as it will be */
    struct collect *out;
    struct once *once;
    uint64_t index;
    uint64_t proposer; /* the command's */
    uint64_t number;
    uint64_t time_ms;
    uint32_t changes;         /* of this command so far */
    size_t change_bytes;      /* their keys and values; past APPLY_CHANGES_MAX none is told */
    size_t collected;         /* changes of commands before */
    struct schema_meta begun; /* `meta` before the command */
    enum err status;          /* the reply */
    struct buf detail;        /* the reply's (struct proposal in store.h) */
    bool replaced;            /* another state took this one's place: what changed is not known */
    struct reason *why;
    /* scratch, kept from one command to the next */
    struct rocks_slice slice;
    struct buf row;
    struct buf scratch; /* the catalog's: a row, and what a change says of it */
};

/* `command` may be any bytes. Fills `batch`, `meta`, `status` and `out`. */
enum err apply_command(struct apply *a, struct bytes command) ERR_MUST_USE;
/* Fills in index, number and time, keeps the change for the history and for `out`. When one command
 * changes more than APPLY_CHANGES_MAX, what changed is not told: readers begin anew. */
void apply_change(struct apply *a, struct change *c);
/* Nothing of what the command did so far happens; its reply stays, and it counts as applied. */
void apply_undo(struct apply *a);
/* The command's condition does not hold: ERR_CONFLICT, and why, in words (cut where the detail
 * ends). */
void apply_refuse(struct apply *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- rows ------------------------------------------------------------------------------------ */

void apply_put(struct apply *a, struct bytes key, struct bytes value);
void apply_delete(struct apply *a, struct bytes key);
/* As rocks_get(), with what this command wrote on top. */
enum err apply_get(struct apply *a, struct bytes key, struct rocks_slice *ret_slice) ERR_MUST_USE;
/* As it was before this command. */
enum err
apply_get_before(struct apply *a, struct bytes key, struct rocks_slice *ret_slice) ERR_MUST_USE;

/* Rows that begin with `prefix`, in order. Writing meanwhile is allowed; what is written behind the
 * row at hand is met. */
struct apply_scan {
    struct bytes key; /* of the row at hand; borrowed until the next step */
    struct bytes value;
    /* private */
    struct apply *apply;
    struct rocks_iter *iter;
    bool overlaid;
    struct schema_key prefix;
    struct schema_key last;
};

void apply_scan_open(struct apply_scan *scan, struct apply *a, const struct schema_key *prefix);
/* As it was before this command. */
void apply_scan_open_before(struct apply_scan *scan,
                            struct apply *a,
                            const struct schema_key *prefix);
/* ERR_NOT_FOUND behind the last. */
enum err apply_scan_next(struct apply_scan *scan) ERR_MUST_USE;
void apply_scan_close(struct apply_scan *scan);

/* --- indexes (fleet.h) ----------------------------------------------------------------------- */

/* The index of this name moves to the command's. */
void apply_moved(struct apply *a, struct bytes name);
void apply_moved_of(struct apply *a, const char *prefix, struct bytes name);
/* What it counted is gone; who waits for it wakes. */
void apply_gone_of(struct apply *a, const char *prefix, struct bytes name);

#endif
