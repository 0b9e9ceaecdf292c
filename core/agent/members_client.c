/* A client agent among the others: it gossips, and that is all. */
#include "core/agent/members_priv.h"

static void client_tag(struct members *m)
{
    members_tag(m, "role", "node");
}

static void client_member(struct members *m, const struct gossip_member *g)
{
    (void)m;
    (void)g;
}

static void client_nothing(struct members *m)
{
    (void)m;
}

const struct members_role MEMBERS_CLIENT = {
    .tag = client_tag,
    .open = client_nothing,
    .begin = client_nothing,
    .changed = client_member,
    .reaped = client_member,
    .look = client_nothing,
    .leave = leave_part,
    .end = client_nothing,
};
