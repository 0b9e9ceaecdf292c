/* Views: what may be read. A view is the whole state as of one applied index, and stays so.
 *
 * Owner    counted; the last view_unref() lets the database forget it. Rows and changes are
 *          borrowed: from a `struct view_pin` until view_pin_close(), from a scan until its next
 *          step; both are closed before their view is given back.
 * Errors   ERR_NOT_FOUND, ERR_COMPACTED; ERR_IO and ERR_CORRUPT when the disk lies.
 * Threads  any, for all functions; one pin or scan belongs to one thread.
 */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "store/change.h"

struct view;

struct view *view_ref(struct view *v);
void view_unref(struct view *v);

/* The applied index this view shows. */
uint64_t view_index(const struct view *v);
/* Changes whenever indexes may repeat: another cluster, or a restored backup. */
uint64_t view_epoch(const struct view *v);
/* Newest index that changed any key: Consul's "kvs" table index; at least 1. */
uint64_t view_kv_index(const struct view *v);
/* Deletions at or below this index are forgotten (0: none is): a reader whose index is below it
 * cannot know that it missed none. */
uint64_t view_kv_reaped(const struct view *v);

/* Where the newest backup was restored (0: none was): all rows there were became those of the
 * backup then, whatever their indexes say, so that no reader may be told less. */
uint64_t view_kv_restored(const struct view *v);

struct kv_row {
    struct bytes key;
    struct bytes value;
    uint64_t flags;
    uint64_t lock_index;
    uint64_t create_index;
    uint64_t modify_index; /* of a dead row: the index of its deletion */
    struct bytes session;  /* empty when not locked */
    bool dead;             /* a tombstone: the key was deleted at modify_index */
    bool ttl;              /* it expires (store/expire.h) */
};

/* Keeps one row's bytes in place. Zero-initialise; closing twice is harmless. */
struct view_pin {
    void *slice; /* private */
};

void view_pin_close(struct view_pin *pin);

/* OK also for a tombstone (`dead`); ERR_NOT_FOUND if the key never was or its end is reaped. */
enum err view_kv_get(struct view *v, struct bytes key, struct view_pin *pin, struct kv_row *ret_row)
    ERR_MUST_USE;

/* Rows under a prefix in byte order, tombstones included. */
struct kv_scan;
struct kv_scan *kv_scan_open(struct view *v, struct bytes prefix);
/* ERR_NOT_FOUND behind the last. */
enum err kv_scan_next(struct kv_scan *scan, struct kv_row *ret_row) ERR_MUST_USE;
/* Continues at the first key that is >= `key` (for `?separator`: skips a whole folder). */
void kv_scan_seek(struct kv_scan *scan, struct bytes key);
void kv_scan_close(struct kv_scan *scan);

/* What autopilot may do (store/command.h); ERR_NOT_FOUND: nobody has said it yet. */
struct autopilot;
enum err view_autopilot(struct view *v, struct autopilot *ret_autopilot) ERR_MUST_USE;

/* The kept changes. `view_history_oldest` is the smallest index that can be resumed FROM, that is:
 * every change with a greater index is still there. 0 if nothing was ever trimmed. */
uint64_t view_history_oldest(const struct view *v);

struct change_scan;
/* Changes with index > `after`, ascending. ERR_COMPACTED if some of them are gone. */
enum err
change_scan_open(struct view *v, uint64_t after, struct change_scan **ret_scan) ERR_MUST_USE;
/* Kept changes of one key (topic `kv`), newest first; deletions by a prefix included. */
struct change_scan *change_scan_open_key(struct view *v, struct bytes key);
/* ERR_NOT_FOUND behind the last. */
enum err change_scan_next(struct change_scan *scan, struct change *ret_change) ERR_MUST_USE;
void change_scan_close(struct change_scan *scan);

#endif
