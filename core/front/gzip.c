/* Compressed answers, where the client takes them. A body that many connections share is compressed
 * once. */
#define ZLIB_CONST
#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/front/inside.h"

#include <stdlib.h>
#include <zlib.h>

/* Between speed and size; the answers are JSON, and either end is mostly nearby. */
#define GZIP_LEVEL 4

struct gzip {
    z_stream stream;
    struct shared *body;  /* whose compressed form is remembered; NULL: none */
    struct shared *small; /* NULL: it would not be smaller */
};

static struct gzip *gzip_of(struct front *f)
{
    if (f->gzip == NULL) {
        f->gzip = mem_zalloc(1, sizeof *f->gzip);
        /* 15 + 16: the largest window, in the gzip format. */
        int rc =
            deflateInit2(&f->gzip->stream, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
        CHECK(rc == Z_OK);
    }
    return f->gzip;
}

struct shared *gzip_bytes(struct front *f, struct bytes body)
{
    z_stream *z = &gzip_of(f)->stream;
    /* More room than the body itself is not given: then the plain form is as good. */
    struct shared *small = shared_new(0, body.len);
    int rc = deflateReset(z);
    CHECK(rc == Z_OK);
    z->next_in = (const Bytef *)body.ptr;
    z->avail_in = (uInt)body.len;
    z->next_out = (Bytef *)small->data;
    z->avail_out = (uInt)body.len;
    rc = deflate(z, Z_FINISH);
    if (rc != Z_STREAM_END) {
        shared_unref(small);
        return NULL;
    }
    /* The bound was the body's length: what is kept is what is needed. */
    struct shared *tight =
        shared_copy(0, (struct bytes){.ptr = small->data, .len = body.len - z->avail_out});
    shared_unref(small);
    return tight;
}

struct shared *gzip_shared(struct front *f, struct shared *body)
{
    struct gzip *g = gzip_of(f);
    if (g->body != body) {
        gzip_forget(f);
        g->small = gzip_bytes(f, shared_view(body));
        g->body = shared_ref(body);
        front_later(f);
    }
    return g->small == NULL ? NULL : shared_ref(g->small);
}

void gzip_forget(struct front *f)
{
    if (f->gzip == NULL) {
        return;
    }
    shared_unref(f->gzip->body);
    shared_unref(f->gzip->small);
    f->gzip->body = NULL;
    f->gzip->small = NULL;
}

void gzip_free(struct front *f)
{
    gzip_forget(f);
    if (f->gzip != NULL) {
        (void)deflateEnd(&f->gzip->stream);
        free(f->gzip);
        f->gzip = NULL;
    }
}
