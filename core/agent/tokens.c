#include "core/agent/tokens.h"

#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/config.h"

#include <stdatomic.h>
#include <stdlib.h>

struct token_text {
    struct token_text *before; /* what it took the place of: readers may still have it */
    struct bytes text;
};

struct tokens {
    _Atomic(struct token_text *) current[TOKEN_NAMES];
    atomic_uint sets;
};

static struct token_text *text_new(struct bytes secret)
{
    struct token_text *t = mem_zalloc(1, sizeof *t);
    t->text = (struct bytes){.ptr = mem_dup(secret.ptr, secret.len), .len = secret.len};
    return t;
}

static void text_push(struct tokens *t, enum token_name name, struct bytes secret)
{
    struct token_text *text = text_new(secret);
    struct token_text *before = atomic_load_explicit(&t->current[name], memory_order_acquire);
    do {
        text->before = before;
    } while (!atomic_compare_exchange_weak_explicit(&t->current[name], &before, text,
                                                    memory_order_acq_rel, memory_order_acquire));
}

struct tokens *tokens_new(const struct config *c)
{
    struct tokens *t = mem_zalloc(1, sizeof *t);
    const char *const texts[TOKEN_NAMES] = {
        [TOKEN_DEFAULT] = c->acl_token_default,   [TOKEN_AGENT] = c->acl_token_agent,
        [TOKEN_RECOVERY] = c->acl_token_recovery, [TOKEN_REPLICATION] = c->acl_token_replication,
        [TOKEN_SERVICE] = c->acl_token_service,   [TOKEN_DNS] = c->acl_token_dns,
    };
    for (unsigned i = 0; i < TOKEN_NAMES; i++) {
        if (texts[i] != NULL) {
            text_push(t, (enum token_name)i, bytes_of(texts[i]));
        }
    }
    return t;
}

void tokens_free(struct tokens *t)
{
    for (unsigned i = 0; t != NULL && i < TOKEN_NAMES; i++) {
        struct token_text *text = atomic_load_explicit(&t->current[i], memory_order_acquire);
        while (text != NULL) {
            struct token_text *before = text->before;
            free((void *)(uintptr_t)text->text.ptr);
            free(text);
            text = before;
        }
    }
    free(t);
}

struct bytes tokens_get(const struct tokens *t, enum token_name name)
{
    const struct token_text *text = atomic_load_explicit(&t->current[name], memory_order_acquire);
    return text == NULL ? (struct bytes){0} : text->text;
}

enum err tokens_set(struct tokens *t, enum token_name name, struct bytes secret)
{
    /* What is replaced is kept, so there must be an end to it. */
    if (atomic_fetch_add_explicit(&t->sets, 1, memory_order_relaxed) >= AGENT_TOKEN_SETS_MAX ||
        secret.len > ACL_SECRET_MAX) {
        return ERR_LIMIT;
    }
    text_push(t, name, secret);
    return OK;
}
