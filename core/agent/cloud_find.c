#include "core/agent/cloud.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void cloud_add(struct cloud_found *f, struct bytes address)
{
    unsigned char ip[16];
    char text[64];
    if (f->count == CLOUD_ADDRESSES_MAX || address.len == 0 || address.len >= sizeof text) {
        return;
    }
    memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    if (inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1) {
        memcpy(f->addresses[f->count++], text, address.len + 1);
    }
}

enum err cloud_find(const struct cloud_query *q,
                    const atomic_bool *stop,
                    struct cloud_found *ret_found,
                    struct reason *why)
{
    enum err e = ERR_INVALID;
    ret_found->count = 0;
    if (q->provider == CLOUD_AWS) {
        e = cloud_find_aws(q, stop, ret_found, why);
    } else if (q->provider == CLOUD_EXEC) {
        e = cloud_find_exec(q, stop, ret_found, why);
    }
    if (e == OK && ret_found->count == 0) {
        reason_set(why, "provider=%s: no address was found", cloud_arg(q, "provider"));
        return ERR_NOT_FOUND;
    }
    return e;
}
