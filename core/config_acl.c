/* Access control in the configuration: old names, and what may be said. */
#include "core/base/mem.h"
#include "core/config_key.h"

#include <stdlib.h>
#include <string.h>

/* The old name counts where the new one says nothing. */
static void prefer(char **text, const char *old)
{
    if ((*text == NULL || **text == '\0') && old != NULL && *old != '\0') {
        free(*text);
        *text = mem_strdup(old);
    }
}

static enum err policy_check(const char *key, const char *policy, struct reason *why)
{
    if (policy == NULL || strcmp(policy, "allow") == 0 || strcmp(policy, "deny") == 0) {
        return OK;
    }
    reason_set(why, "%s: \"%s\" is neither \"allow\" nor \"deny\"", key, policy);
    return ERR_INVALID;
}

enum err config_finish_acl(struct config *c, struct reason *why)
{
    enum err e = policy_check("acl.default_policy", c->acl_default_policy, why);
    e = e == OK ? policy_check("acl_default_policy", c->acl_old_default_policy, why) : e;
    prefer(&c->acl_default_policy, c->acl_old_default_policy);
    prefer(&c->acl_default_policy, "allow");
    prefer(&c->acl_token_initial, c->acl_token_master);
    prefer(&c->acl_token_initial, c->acl_old_master);
    prefer(&c->acl_token_recovery, c->acl_token_agent_master);
    prefer(&c->acl_token_recovery, c->acl_old_agent_master);
    prefer(&c->acl_token_agent, c->acl_old_agent);
    prefer(&c->acl_token_default, c->acl_old_default);
    prefer(&c->acl_token_replication, c->acl_old_replication);
    c->acl_key_list = c->acl_key_list || c->acl_old_key_list;
    /* As Consul: to name the datacenter of the tokens was the way to switch them on. */
    if (c->acl_old_datacenter != NULL && *c->acl_old_datacenter != '\0') {
        c->acl_enabled = true;
    }
    return e;
}
