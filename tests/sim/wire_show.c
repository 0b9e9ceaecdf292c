/* Messages between servers, as the story tells them. */
#include "tests/sim/wire_show.h"

#include "store/replica/rpc.h"
#include "tests/sim/world.h"

#include <stdio.h>

static struct rpc_room room;

static void show_raft(const struct rpc_message *m, char *text, size_t size)
{
    switch ((unsigned)m->type) {
    case RPC_VOTE:
        (void)snprintf(text, size, "vote? term %llu, log to %llu/%llu%s%s",
                       (unsigned long long)m->vote.term, (unsigned long long)m->vote.last_index,
                       (unsigned long long)m->vote.last_term, m->vote.pre_vote ? ", pre" : "",
                       m->vote.disrupt ? ", disrupt" : "");
        break;
    case RPC_VOTE_REPLY:
        (void)snprintf(text, size, "vote: %s, term %llu%s", m->vote_reply.granted ? "yes" : "no",
                       (unsigned long long)m->vote_reply.term,
                       m->vote_reply.pre_vote ? ", pre" : "");
        break;
    case RPC_APPEND:
        (void)snprintf(text, size, "append: term %llu, %u behind %llu/%llu, commit %llu",
                       (unsigned long long)m->append.term, m->append.count,
                       (unsigned long long)m->append.prev_index,
                       (unsigned long long)m->append.prev_term,
                       (unsigned long long)m->append.commit);
        break;
    case RPC_APPEND_REPLY:
        (void)snprintf(text, size, "appended: term %llu, rejected %llu, last %llu",
                       (unsigned long long)m->append_reply.term,
                       (unsigned long long)m->append_reply.rejected,
                       (unsigned long long)m->append_reply.last_index);
        break;
    case RPC_INSTALL:
        (void)snprintf(text, size, "install: term %llu, at %llu/%llu",
                       (unsigned long long)m->install.term, (unsigned long long)m->install.index,
                       (unsigned long long)m->install.index_term);
        break;
    default:
        (void)snprintf(text, size, "timeout now: term %llu, last %llu/%llu",
                       (unsigned long long)m->timeout_now.term,
                       (unsigned long long)m->timeout_now.last_index,
                       (unsigned long long)m->timeout_now.last_term);
        break;
    }
}

static void show_other(const struct rpc_message *m, char *text, size_t size)
{
    switch ((unsigned)m->type) {
    case RPC_FORWARD:
        (void)snprintf(text, size, "forward: %u commands", m->forward.count);
        break;
    case RPC_FORWARD_REPLY:
        (void)snprintf(text, size, "forward refused: %s",
                       err_name((enum err)m->forward_reply.status));
        break;
    case RPC_FETCH:
        (void)snprintf(text, size, "fetch: piece %llu", (unsigned long long)m->fetch.number);
        break;
    case RPC_CHUNK:
        (void)snprintf(text, size, "piece %llu of %llu/%llu: %s%s",
                       (unsigned long long)m->chunk.number, (unsigned long long)m->chunk.index,
                       (unsigned long long)m->chunk.index_term, err_name((enum err)m->chunk.status),
                       m->chunk.last ? ", last" : "");
        break;
    case RPC_CHANGE:
        (void)snprintf(text, size, "order %llx: change %u, server %016llx",
                       (unsigned long long)m->change.id, m->change.kind,
                       (unsigned long long)m->change.server);
        break;
    case RPC_CHANGE_REPLY:
        (void)snprintf(text, size, "order %llx: %s", (unsigned long long)m->change_reply.id,
                       err_name((enum err)m->change_reply.status));
        break;
    default:
        (void)snprintf(text, size, "message of type %u", (unsigned)m->type);
        break;
    }
}

void wire_show(const struct process *from, unsigned to, const char *what, struct bytes message)
{
    char text[256] = "";
    struct rpc_message m;
    if (!world.verbose) {
        return;
    }
    if (rpc_decode(message, &room, &m) != OK) {
        (void)snprintf(text, sizeof text, "nonsense");
    } else if (m.type <= RPC_TIMEOUT_NOW) {
        show_raft(&m, text, sizeof text);
    } else {
        show_other(&m, text, sizeof text);
    }
    world_show(from, "%s s%u: %s", what, to, text);
}
