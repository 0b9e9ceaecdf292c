#include "store/state_db.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "store/datadir.h"

#include <stdatomic.h>
#include <stdlib.h>

struct state_db {
    struct rocks *rocks;
    char *path; /* NULL in memory */
    atomic_uint refs;
    bool retired; /* written before the last reference but one goes */
    state_bury_fn *bury;
    void *bury_ctx;
    struct state_remains remains;
};

enum err state_db_open(const char *path, struct state_db **ret_db, struct reason *why)
{
    struct rocks *rocks = NULL;
    enum err e = rocks_open(path, ROCKS_STATE, &rocks, why);
    if (e != OK) {
        return e;
    }
    struct state_db *db = mem_zalloc(1, sizeof(*db));
    db->rocks = rocks;
    db->path = path != NULL ? mem_strdup(path) : NULL;
    atomic_init(&db->refs, 1);
    *ret_db = db;
    return OK;
}

struct state_db *state_db_ref(struct state_db *db)
{
    CHECK(atomic_fetch_add_explicit(&db->refs, 1, memory_order_relaxed) > 0);
    return db;
}

static void state_db_free(struct state_db *db)
{
    rocks_close(db->rocks);
    if (db->retired && db->path != NULL) {
        datadir_remove(db->path);
    }
    free(db->path);
    free(db);
}

void state_db_unref(struct state_db *db)
{
    if (db == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&db->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1) {
        return;
    }
    if (db->bury != NULL) {
        db->bury(&db->remains, db->bury_ctx);
    } else {
        state_db_free(db);
    }
}

struct rocks *state_db_rocks(struct state_db *db)
{
    return db->rocks;
}

bool state_db_is_alone(const struct state_db *db)
{
    return atomic_load_explicit(&db->refs, memory_order_acquire) == 1;
}

void state_db_retire(struct state_db *db, state_bury_fn *bury, void *ctx)
{
    db->retired = true;
    db->bury = bury;
    db->bury_ctx = ctx;
}

void state_remains_free(struct state_remains *r)
{
    state_db_free(LIST_OWNER(r, struct state_db, remains));
}
