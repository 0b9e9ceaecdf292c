/* What the tokens of subscribers may read. Subscribers of one token share it; when access control
 * changes, all of them are looked up anew before anything else is delivered.
 *
 * Owner    counted; the last rights_release() frees. NULL everywhere: no access control.
 * Threads  the stream's.
 */
#ifndef STREAM_RIGHTS_H
#define STREAM_RIGHTS_H

#include "core/base/list.h"
#include "store/acl.h"
#include "stream/filter.h"

struct stream;

struct rights {
    struct list link; /* stream.rights */
    struct bytes token;
    struct acl *acl; /* NULL: there is no such token any more */
    size_t holds;
};

/* One hold for the caller. */
struct rights *rights_get(struct stream *s, struct bytes token);
struct rights *rights_hold(struct rights *r);
void rights_release(struct rights *r);
/* Access control has changed: looks all of them up in the newest view. */
void rights_renew(struct stream *s);
/* Whether they may read this event, whose row has been read. */
bool rights_may_read(const struct rights *r, const struct stream_event *e);

#endif
