/* The set of servers as bytes: what is encoded comes back, and nothing else is taken. The bytes
 * come from other servers. */
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/replica/engine_members.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct store_servers some(size_t count)
{
    struct store_servers servers = {.count = count};
    for (size_t i = 0; i < count; i++) {
        struct store_server *s = &servers.servers[i];
        *s = (struct store_server){.id = UINT64_MAX - i * 77};
        s->role = i % 3 == 2 ? STORE_STANDBY : STORE_VOTER;
        (void)snprintf(s->address, sizeof s->address, "[2001:db8::%zx]:%zu", i, 8300 + i);
        if (i % 2 == 0) {
            (void)snprintf(s->node_id, sizeof s->node_id, "%08zx-0000-4000-8000-%012zx", i, i);
        }
    }
    return servers;
}

static void encode(const struct store_servers *servers, struct buf *out)
{
    buf_init(out, RAFT_CONFIGURATION_MAX);
    cr_assert_eq(members_encode(servers, out), OK);
}

static void check_same(const struct store_servers *a, const struct store_servers *b)
{
    cr_assert_eq(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        struct store_servers copy = *b;
        const struct store_server *s = members_find(&copy, a->servers[i].id);
        cr_assert_not_null(s);
        cr_assert_eq(s->role, a->servers[i].role);
        cr_assert_str_eq(s->address, a->servers[i].address);
        cr_assert_str_eq(s->node_id, a->servers[i].node_id);
    }
}

Test(members, what_is_encoded_comes_back)
{
    for (size_t count = 1; count <= STORE_SERVERS_MAX; count++) {
        struct store_servers servers = some(count);
        struct store_servers back;
        struct buf data;
        encode(&servers, &data);
        cr_assert_eq(members_decode(buf_view(&data), &back), OK);
        check_same(&servers, &back);
        cr_assert_eq(members_voters(&back), count - count / 3);
        buf_close(&data);
    }
}

Test(members, who_is_not_there_is_not_found)
{
    struct store_servers servers = some(3);
    cr_assert_null(members_find(&servers, 1));
    cr_assert_eq(members_find(&servers, UINT64_MAX), &servers.servers[0]);
    servers.count = 0;
    cr_assert_null(members_find(&servers, UINT64_MAX));
}

static enum err decode(const struct store_servers *servers)
{
    struct store_servers back;
    struct buf data;
    encode(servers, &data);
    enum err e = members_decode(buf_view(&data), &back);
    buf_close(&data);
    return e;
}

Test(members, a_set_without_voters_is_none)
{
    struct store_servers servers = some(1);
    servers.servers[0].role = STORE_STANDBY;
    cr_assert_eq(decode(&servers), ERR_CORRUPT);
    servers.count = 0;
    cr_assert_eq(decode(&servers), ERR_CORRUPT);
}

/* An exact copy, so that the sanitizer sees a byte read too many. */
static enum err decode_copy(const char *ptr, size_t len, struct store_servers *ret_servers)
{
    char *copy = mem_dup(ptr, len);
    enum err e = members_decode((struct bytes){copy, len}, ret_servers);
    free(copy);
    return e;
}

/* The library's encoding ends with up to seven bytes of padding, which may be missing. */
Test(members, what_is_cut_short_is_refused)
{
    struct store_servers servers = some(5);
    struct store_servers back;
    struct buf data;
    encode(&servers, &data);
    for (size_t len = 0; len < data.len; len++) {
        enum err e = decode_copy(data.ptr, len, &back);
        cr_assert(e == ERR_CORRUPT || len + 8 > data.len, "%zu of %zu bytes", len, data.len);
        if (e == OK) {
            check_same(&servers, &back);
        }
    }
    buf_close(&data);
}

Test(members, a_flipped_bit_is_another_set_or_none)
{
    struct store_servers servers = some(5);
    struct buf data;
    encode(&servers, &data);
    for (size_t bit = 0; bit < data.len * 8; bit++) {
        struct store_servers back;
        data.ptr[bit / 8] ^= (char)(1 << bit % 8);
        enum err e = decode_copy(data.ptr, data.len, &back);
        cr_assert(e == OK || e == ERR_CORRUPT);
        if (e == OK) {
            cr_assert_gt(members_voters(&back), 0);
            cr_assert_leq(back.count, STORE_SERVERS_MAX);
            cr_assert_eq(decode(&back), OK);
        }
        data.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
    buf_close(&data);
}

/* The library gives up in the middle, and has freed the first by then. */
Test(members, an_id_twice_is_refused)
{
    static const char TWICE[] = "\1\2\0\0\0\0\0\0\0"
                                "\7\0\0\0\0\0\0\0a:1\0\1"
                                "\7\0\0\0\0\0\0\0b:2\0\1";
    struct store_servers back;
    cr_assert_eq(decode_copy(TWICE, sizeof TWICE - 1, &back), ERR_CORRUPT);
}
