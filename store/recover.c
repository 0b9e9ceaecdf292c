#include "store/recover.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "store/store_priv.h"

#include <stdio.h>
#include <string.h>

/* --- who ------------------------------------------------------------------------------------- */

/* The newest configuration in the log; empty if there is none. */
static enum err recover_known(struct store *s, struct store_servers *ret_known, struct reason *why)
{
    const struct journal_facts *facts = journal_facts(s->journal);
    struct bytes newest = facts->snapshot.configuration;
    for (uint64_t i = facts->first; i <= facts->last; i++) {
        const struct journal_entry *entry = &facts->entries[i - facts->first];
        newest = entry->type == JOURNAL_CONFIGURATION ? entry->data : newest;
    }
    *ret_known = (struct store_servers){0};
    if (newest.len > 0 && members_decode(newest, ret_known) != OK) {
        reason_set(why, "%s: the log holds a cluster configuration that cannot be read",
                   s->dir.path);
        return ERR_CORRUPT;
    }
    return OK;
}

/* An id for who was named by its address alone. */
static enum err recover_identify(const struct store *s,
                                 const struct store_servers *known,
                                 struct store_server *server,
                                 struct reason *why)
{
    if (strcmp(server->address, s->address) == 0) {
        server->id = s->id;
        memcpy(server->node_id, s->node_id, sizeof server->node_id);
        return OK;
    }
    for (size_t i = 0; i < known->count; i++) {
        if (strcmp(known->servers[i].address, server->address) == 0) {
            server->id = known->servers[i].id;
            memcpy(server->node_id, known->servers[i].node_id, sizeof server->node_id);
            return OK;
        }
    }
    reason_set(why,
               "no server of the log has the address '%s': name it with its id, as in "
               "{\"id\": \"...\", \"address\": \"%s\"}",
               server->address, server->address);
    return ERR_INVALID;
}

static enum err recover_check(struct store *s, struct store_servers *servers, struct reason *why)
{
    for (size_t i = 0; i < servers->count; i++) {
        const struct store_server *a = &servers->servers[i];
        for (size_t j = 0; j < i; j++) {
            const struct store_server *b = &servers->servers[j];
            if (a->id == b->id || strcmp(a->address, b->address) == 0) {
                reason_set(why, "%s and %s are one server, or share an address", b->address,
                           a->address);
                return ERR_INVALID;
            }
        }
    }
    if (members_voters(servers) == 0) {
        reason_set(why, "it names no server that votes");
        return ERR_INVALID;
    }
    if (members_find(servers, s->id) == NULL) {
        reason_set(why,
                   "it does not name this server, whose id is %s: add it, or do not start this "
                   "server any more",
                   s->node_id);
        return ERR_INVALID;
    }
    return OK;
}

/* --- in the log ------------------------------------------------------------------------------ */

static enum err
recover_write(struct store *s, const struct store_servers *servers, struct reason *why)
{
    const struct journal_facts *facts = journal_facts(s->journal);
    uint64_t index = state_applied(s->state);
    if (index < facts->snapshot.index) {
        reason_set(why, "%s: the state is at entry %llu, though the log says %llu", s->dir.path,
                   (unsigned long long)index, (unsigned long long)facts->snapshot.index);
        return ERR_CORRUPT;
    }
    struct journal_snapshot snapshot = {.index = index, .configuration_index = index};
    if (index == facts->snapshot.index) {
        snapshot.term = facts->snapshot.term;
    } else if (index > 0) {
        snapshot.term = facts->entries[index - facts->first].term;
    }
    struct buf encoded;
    buf_init(&encoded, RAFT_CONFIGURATION_MAX);
    enum err e = members_encode(servers, &encoded);
    snapshot.configuration = buf_view(&encoded);
    e = e == OK ? journal_recover(s->journal, &snapshot, why) : e;
    buf_close(&encoded);
    return e;
}

enum err recover_servers(struct store *s, const struct store_recovery *recovery, struct reason *why)
{
    struct store_servers known;
    struct store_servers servers = recovery->servers;
    if (journal_facts(s->journal)->last == 0) {
        reason_set(why,
                   "this server has no log, so there is nothing here to recover: without the file "
                   "it joins the others");
        return ERR_INVALID;
    }
    enum err e = recover_known(s, &known, why);
    for (size_t i = 0; e == OK && i < servers.count; i++) {
        if (servers.servers[i].id == 0) {
            e = recover_identify(s, &known, &servers.servers[i], why);
        }
    }
    e = e == OK ? recover_check(s, &servers, why) : e;
    e = e == OK ? recover_write(s, &servers, why) : e;
    e = e == OK ? recovery->done(recovery->ctx, why) : e;
    if (e == OK) {
        log_line(LOG_STORE_RECOVERED, "servers=%zu before=%zu index=%llu last=%llu", servers.count,
                 known.count, (unsigned long long)state_applied(s->state),
                 (unsigned long long)journal_facts(s->journal)->last);
    }
    return e;
}
