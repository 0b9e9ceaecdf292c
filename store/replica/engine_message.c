#include "store/replica/engine_message.h"

#include "core/base/check.h"

#include <raft.h>
#include <string.h>

/* From this version on a reply says whether it answers a pre-vote. */
#define VOTE_REPLY_VERSION 2

static void message_in_append(const struct rpc_append *in,
                              struct raft_entry *entries,
                              struct raft_append_entries *ret_append)
{
    ret_append->term = in->term;
    ret_append->prev_log_index = in->prev_index;
    ret_append->prev_log_term = in->prev_term;
    ret_append->leader_commit = in->commit;
    ret_append->entries = in->count > 0 ? entries : NULL;
    ret_append->n_entries = in->count;
    for (uint32_t i = 0; i < in->count; i++) {
        const struct journal_entry *entry = &in->entries[i];
        entries[i] = (struct raft_entry){
            .term = entry->term,
            .type = (unsigned short)entry->type,
            .buf = {.base = (void *)(uintptr_t)entry->data.ptr, .len = entry->data.len},
        };
    }
}

static bool message_in_other(const struct rpc_message *in, struct raft_message *m)
{
    switch ((unsigned)in->type) {
    case RPC_VOTE:
        m->type = RAFT_REQUEST_VOTE;
        m->request_vote.version = VOTE_REPLY_VERSION;
        m->request_vote.term = in->vote.term;
        m->request_vote.candidate_id = m->server_id;
        m->request_vote.last_log_index = in->vote.last_index;
        m->request_vote.last_log_term = in->vote.last_term;
        m->request_vote.disrupt_leader = in->vote.disrupt;
        m->request_vote.pre_vote = in->vote.pre_vote;
        return true;
    case RPC_VOTE_REPLY:
        m->type = RAFT_REQUEST_VOTE_RESULT;
        m->request_vote_result.version = VOTE_REPLY_VERSION;
        m->request_vote_result.term = in->vote_reply.term;
        m->request_vote_result.vote_granted = in->vote_reply.granted;
        m->request_vote_result.pre_vote = in->vote_reply.pre_vote;
        return true;
    case RPC_APPEND_REPLY:
        m->type = RAFT_APPEND_ENTRIES_RESULT;
        m->append_entries_result.version = VOTE_REPLY_VERSION;
        m->append_entries_result.term = in->append_reply.term;
        m->append_entries_result.rejected = in->append_reply.rejected;
        m->append_entries_result.last_log_index = in->append_reply.last_index;
        return true;
    case RPC_TIMEOUT_NOW:
        m->type = RAFT_TIMEOUT_NOW;
        m->timeout_now.term = in->timeout_now.term;
        m->timeout_now.last_log_index = in->timeout_now.last_index;
        m->timeout_now.last_log_term = in->timeout_now.last_term;
        return true;
    default:
        /* Snapshots travel beside the library. */
        return false;
    }
}

bool engine_message_in(const struct rpc_message *in,
                       uint64_t from,
                       struct raft_entry *entries,
                       struct raft_message *ret_message)
{
    memset(ret_message, 0, sizeof *ret_message);
    ret_message->server_id = from;
    ret_message->server_address = "";
    if (in->type == RPC_COMMIT) {
        ret_message->type = RAFT_APPEND_ENTRIES;
        ret_message->append_entries.term = in->commit.term;
        ret_message->append_entries.prev_log_index = in->commit.index;
        ret_message->append_entries.prev_log_term = in->commit.index_term;
        ret_message->append_entries.leader_commit = in->commit.commit;
        return true;
    }
    if (in->type == RPC_APPEND) {
        ret_message->type = RAFT_APPEND_ENTRIES;
        message_in_append(&in->append, entries, &ret_message->append_entries);
        return true;
    }
    return message_in_other(in, ret_message);
}

void engine_message_out(const struct raft_message *m, struct rpc_message *ret_out)
{
    struct rpc_message out = {0};
    switch (m->type) {
    case RAFT_REQUEST_VOTE:
        out.type = RPC_VOTE;
        out.vote = (struct rpc_vote){
            .term = m->request_vote.term,
            .last_index = m->request_vote.last_log_index,
            .last_term = m->request_vote.last_log_term,
            .disrupt = m->request_vote.disrupt_leader,
            .pre_vote = m->request_vote.pre_vote,
        };
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        out.type = RPC_VOTE_REPLY;
        out.vote_reply = (struct rpc_vote_reply){
            .term = m->request_vote_result.term,
            .granted = m->request_vote_result.vote_granted,
            .pre_vote = m->request_vote_result.pre_vote,
        };
        break;
    case RAFT_APPEND_ENTRIES:
        out.type = RPC_APPEND;
        out.append = (struct rpc_append){
            .term = m->append_entries.term,
            .prev_index = m->append_entries.prev_log_index,
            .prev_term = m->append_entries.prev_log_term,
            .commit = m->append_entries.leader_commit,
            .count = m->append_entries.n_entries,
        };
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        out.type = RPC_APPEND_REPLY;
        out.append_reply = (struct rpc_append_reply){
            .term = m->append_entries_result.term,
            .rejected = m->append_entries_result.rejected,
            .last_index = m->append_entries_result.last_log_index,
        };
        break;
    case RAFT_INSTALL_SNAPSHOT:
        out.type = RPC_INSTALL;
        out.install = (struct rpc_install){
            .term = m->install_snapshot.term,
            .index = m->install_snapshot.last_index,
            .index_term = m->install_snapshot.last_term,
            .configuration_index = m->install_snapshot.conf_index,
        };
        break;
    case RAFT_TIMEOUT_NOW:
        out.type = RPC_TIMEOUT_NOW;
        out.timeout_now = (struct rpc_timeout_now){
            .term = m->timeout_now.term,
            .last_index = m->timeout_now.last_log_index,
            .last_term = m->timeout_now.last_log_term,
        };
        break;
    }
    *ret_out = out;
}
