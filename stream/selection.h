/* What a subscription selects and how it is shown. Subscriptions that are alike in everything but
 * their place share one selection, and through it the frames they all need at a publish.
 *
 * Owner    counted; the last selection_release() frees.
 * Threads  none.
 */
#ifndef STREAM_SELECTION_H
#define STREAM_SELECTION_H

#include "stream/filter.h"
#include "stream/frame.h"
#include "stream/rights.h"

/* Where a subscription stands: it has passed everything through `index`, and of `part_index`
 * (0: none) also the changes numbered below `part_next`. */
struct place {
    uint64_t index;
    uint64_t part_index;
    uint32_t part_next;
};

/* One frame's worth of changes is cut off the stream behind a place. */
struct cut_ask {
    struct place from;
    uint64_t told;       /* the client knows of everything through here */
    uint64_t until;      /* nothing past this index */
    uint64_t cursor_max; /* SSE's id is at most this */
    size_t events_max;   /* no new index is begun with so many */
    size_t bytes_max;    /* of the events of one frame, as the client can take it */
};

struct cut {
    struct cut_ask ask;
    uint64_t tail; /* the newest index when it was made */
    struct place to;
    uint64_t through; /* what the frame says */
    size_t events;
    size_t read;          /* changes looked at */
    struct shared *frame; /* NULL: nothing to say */
};

#define SELECTION_CUTS 4U

struct selection {
    /* read-only */
    enum change_topic topic;
    enum target_kind kind;
    struct bytes target;     /* owned, as are the next two */
    struct bytes tags;       /* texts (row.h) */
    struct bytes node;       /* empty: any */
    enum check_status worst; /* no worse status is in the list */
    struct filter *filter;
    struct rights *rights; /* one hold; NULL: everything may be read */
    struct frame_style style;
    uint64_t id;
    size_t holds;
    /* Frames made during the publish at hand, for the next subscription at the same place. */
    struct cut cuts[SELECTION_CUTS];
    unsigned cut_next;
    struct list warm; /* in selections.warm while it has some */
    /* private */
    struct bytes filter_text;
    uint64_t hash;
    struct selection *next;
};

#define SELECTION_BUCKETS 1024U

struct selections {
    struct selection **buckets;
    struct list warm;
};

void selections_init(struct selections *all);
void selections_close(struct selections *all);
/* One hold for the caller. ERR_INVALID: the filter; `why` says where. */
enum err selection_get(struct selections *all,
                       const struct subscribe *sub,
                       const struct frame_style *style,
                       struct rights *rights,
                       struct selection **ret_selection,
                       struct reason *why) ERR_MUST_USE;
/* The same selection for other rights: takes the hold on `sel`, gives one on the result. */
struct selection *
selection_for(struct selections *all, struct selection *sel, struct rights *rights);
void selection_release(struct selections *all, struct selection *sel);
/* What the change is to this selection: `ret_event`'s op is EVENT_NONE if it is not of it. An
 * instance is in the list of a selection while it has the tags and a status that is not too bad;
 * it is added, changed and removed there, which is judged from this one change. ERR_CORRUPT. */
enum err selection_judge(const struct selection *sel,
                         const struct change *c,
                         struct stream_event *ret_event) ERR_MUST_USE;
/* The same of a row that is there now, as of a snapshot: the event has been filled in. */
bool selection_has(const struct selection *sel, struct stream_event *e);

/* The frame made for the same ask at the same tail, or NULL. Borrowed. */
const struct cut *
selection_recall(const struct selection *sel, const struct cut_ask *ask, uint64_t tail);
/* Takes a reference of the frame. */
void selection_remember(struct selections *all, struct selection *sel, const struct cut *cut);
/* At the end of a publish. */
void selections_cool(struct selections *all);

#endif
