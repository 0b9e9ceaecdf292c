/* The hash of a service, as Consul 1.8 has it: clients keep it and compare it over upgrades, and
 * its test suite knows one by heart. A text is hashed by FNV-1 (64 bits, multiply before the XOR),
 * a number as its eight bytes, a list one after another; the members of an object, each hashed
 * together with its name, are XORed, so that their order does not matter. */
#include "core/agent/local_json.h"

#include <string.h>

static uint64_t hash_bytes(struct bytes b)
{
    uint64_t hash = 14695981039346656037ULL;
    for (size_t i = 0; i < b.len; i++) {
        hash = (hash * 1099511628211ULL) ^ (unsigned char)b.ptr[i];
    }
    return hash;
}

static uint64_t hash_number(uint64_t n)
{
    char data[8];
    for (unsigned i = 0; i < 8; i++) {
        data[i] = (char)(n >> (8 * i) & 0xff);
    }
    return hash_bytes((struct bytes){.ptr = data, .len = sizeof data});
}

static uint64_t hash_switch(bool on)
{
    char data = on;
    return hash_bytes((struct bytes){.ptr = &data, .len = 1});
}

static uint64_t hash_two(uint64_t a, uint64_t b)
{
    char data[16];
    for (unsigned i = 0; i < 8; i++) {
        data[i] = (char)(a >> (8 * i) & 0xff);
        data[8 + i] = (char)(b >> (8 * i) & 0xff);
    }
    return hash_bytes((struct bytes){.ptr = data, .len = sizeof data});
}

static uint64_t hash_member(const char *name, uint64_t value)
{
    return hash_two(hash_bytes(bytes_of(name)), value);
}

static uint64_t hash_texts(struct bytes texts)
{
    struct bytes text;
    uint64_t hash = 0;
    while (texts_next(&texts, &text)) {
        hash = hash_two(hash, hash_bytes(text));
    }
    return hash;
}

static uint64_t hash_pairs(struct bytes pairs)
{
    struct bytes name;
    struct bytes value;
    uint64_t hash = 0;
    while (pairs_next(&pairs, &name, &value)) {
        hash ^= hash_two(hash_bytes(name), hash_bytes(value));
    }
    return hash;
}

/* Values are `port address`. */
static uint64_t hash_tagged(struct bytes pairs)
{
    struct bytes name;
    struct bytes value;
    uint64_t hash = 0;
    while (pairs_next(&pairs, &name, &value)) {
        size_t blank = bytes_find(value, ' ');
        size_t from = blank < value.len ? blank + 1 : value.len;
        uint64_t port = 0;
        if (bytes_to_u64(bytes_slice(value, 0, blank), &port) != OK) {
            port = 0;
        }
        uint64_t one = hash_bytes(BYTES("ServiceAddress"));
        one ^= hash_member("Address", hash_bytes(bytes_slice(value, from, value.len)));
        one ^= hash_member("Port", hash_number(port));
        hash ^= hash_two(hash_bytes(name), one);
    }
    return hash;
}

uint64_t local_hash_service(const struct service_row *r)
{
    uint64_t weights = hash_bytes(BYTES("AgentWeights"));
    weights ^= hash_member("Passing", hash_number(r->weight_passing));
    weights ^= hash_member("Warning", hash_number(r->weight_warning));
    uint64_t hash = hash_bytes(BYTES("AgentService"));
    hash ^= hash_member("Kind", hash_bytes(r->kind));
    hash ^= hash_member("ID", hash_bytes(r->id));
    hash ^= hash_member("Service", hash_bytes(r->name));
    hash ^= hash_member("Tags", hash_texts(r->tags));
    hash ^= hash_member("Meta", hash_pairs(r->meta));
    hash ^= hash_member("Port", hash_number(r->port));
    hash ^= hash_member("Address", hash_bytes(r->address));
    hash ^= hash_member("TaggedAddresses", hash_tagged(r->tagged));
    hash ^= hash_member("Weights", weights);
    hash ^= hash_member("EnableTagOverride", hash_switch(r->enable_tag_override));
    /* Empty in every answer, and yet part of it. */
    hash ^= hash_member("CreateIndex", hash_number(0));
    hash ^= hash_member("ModifyIndex", hash_number(0));
    hash ^= hash_member("ContentHash", hash_bytes(BYTES("")));
    hash ^= hash_member("Proxy", hash_number(0));
    hash ^= hash_member("Connect", hash_number(0));
    /* What Consul 1.8 does not know changes the hash only where it is used. */
    if (r->socket_path.len > 0) {
        hash ^= hash_member("SocketPath", hash_bytes(r->socket_path));
    }
    if (r->extra.len > 0) {
        hash ^= hash_member("Extra", hash_bytes(r->extra));
    }
    return hash;
}
