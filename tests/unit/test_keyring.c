#include "core/base/mem.h"
#include "core/gossip/seal.h"
#include "scratch.h"

#include <string.h>

/* A world with dice of its own; its clock stands still. */
static uint64_t dice = 1;

static uint64_t still_ms(struct env *env)
{
    (void)env;
    return 1;
}

static void dice_random(struct env *env, void *ret_data, size_t len)
{
    unsigned char *at = ret_data;
    (void)env;
    for (size_t i = 0; i < len; i++) {
        dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
        at[i] = (unsigned char)(dice >> 56);
    }
}

static const struct env_ops OPS = {.now_ms = still_ms, .wall_ms = still_ms, .random = dice_random};
static struct env env = {.ops = &OPS};
static struct reason why;

static struct bytes key_of(char *raw, size_t len, char fill)
{
    memset(raw, fill, len);
    return (struct bytes){raw, len};
}

/* Each length of key; bound to what it is associated with; a flip anywhere is noticed. */
Test(keyring, what_is_sealed_opens_with_the_key_alone)
{
    static const size_t lengths[] = {16, 24, 32};
    char raw[32];
    for (size_t i = 0; i < 3; i++) {
        struct keyring *k = keyring_new(&env);
        struct keyring *stranger = keyring_new(&env);
        struct buf sealed;
        struct buf out;
        buf_init(&sealed, 256);
        buf_init(&out, 256);
        cr_assert_eq(keyring_install(k, key_of(raw, lengths[i], 'k'), &why), OK);
        cr_assert_eq(keyring_install(stranger, key_of(raw, lengths[i], 's'), &why), OK);
        keyring_seal(k, BYTES("hello"), BYTES("context"), &sealed);
        cr_assert_eq(sealed.len, 5 + KEYRING_OVERHEAD);
        cr_assert_eq(keyring_unseal(k, buf_view(&sealed), BYTES("context"), &out), OK);
        cr_assert(bytes_equal(buf_view(&out), BYTES("hello")));
        buf_clear(&out);
        cr_assert_eq(keyring_unseal(k, buf_view(&sealed), BYTES("other"), &out), ERR_DENIED);
        cr_assert_eq(keyring_unseal(stranger, buf_view(&sealed), BYTES("context"), &out),
                     ERR_DENIED);
        for (size_t bit = 0; bit < sealed.len * 8; bit++) {
            sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ (1 << bit % 8));
            cr_assert_eq(keyring_unseal(k, buf_view(&sealed), BYTES("context"), &out), ERR_DENIED);
            sealed.ptr[bit / 8] = (char)(sealed.ptr[bit / 8] ^ (1 << bit % 8));
        }
        for (size_t len = 0; len < sealed.len; len++) {
            struct bytes part = {sealed.ptr, len};
            cr_assert_eq(keyring_unseal(k, part, BYTES("context"), &out), ERR_DENIED);
        }
        cr_assert_eq(out.len, 0);
        buf_close(&sealed);
        buf_close(&out);
        keyring_free(k);
        keyring_free(stranger);
    }
}

/* NIST's GCM test vector 15 of the 256 bit keys (McGrew and Viega, case 14), with its nonce as our
 * dice would have drawn it: proof that it is AES-GCM and nothing of our own. */
Test(keyring, it_is_aes_gcm)
{
    static const unsigned char sealed[12 + 16 + 16] = {
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0xce, 0xa7, 0x40,
        0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18, 0xd0, 0xd1,
        0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
    static const char zeros[16];
    char raw[32];
    struct buf out;
    struct keyring *k = keyring_new(&env);
    buf_init(&out, 64);
    cr_assert_eq(keyring_install(k, key_of(raw, 32, 0), &why), OK);
    struct bytes data = {(const char *)sealed, sizeof sealed};
    cr_assert_eq(keyring_unseal(k, data, BYTES(""), &out), OK);
    cr_assert(bytes_equal(buf_view(&out), (struct bytes){zeros, 16}));
    buf_close(&out);
    keyring_free(k);
}

Test(keyring, keys_come_change_and_go_by_the_rules)
{
    char a[32];
    char b[32];
    struct keyring *k = keyring_new(&env);
    struct bytes key_a = key_of(a, 16, 'a');
    struct bytes key_b = key_of(b, 32, 'b');
    cr_assert_eq(keyring_install(k, (struct bytes){a, 15}, &why), ERR_INVALID);
    cr_assert_eq(keyring_install(k, key_a, &why), OK);
    cr_assert_eq(keyring_install(k, key_a, &why), OK);
    cr_assert_eq(keyring_count(k), 1);
    cr_assert_eq(keyring_use(k, key_b, &why), ERR_NOT_FOUND);
    cr_assert_eq(keyring_remove(k, key_a, &why), ERR_CONFLICT);
    cr_assert_eq(keyring_remove(k, key_b, &why), OK);
    cr_assert_eq(keyring_install(k, key_b, &why), OK);
    cr_assert(bytes_equal(keyring_at(k, 0), key_a));
    cr_assert_eq(keyring_use(k, key_b, &why), OK);
    cr_assert(bytes_equal(keyring_at(k, 0), key_b));
    cr_assert_eq(keyring_remove(k, key_a, &why), OK);
    cr_assert_eq(keyring_count(k), 1);
    for (size_t i = 1; i < GOSSIP_KEYS_MAX; i++) {
        cr_assert_eq(keyring_install(k, key_of(a, 16, (char)i), &why), OK);
    }
    cr_assert_eq(keyring_install(k, key_of(a, 16, 'z'), &why), ERR_LIMIT);
    keyring_free(k);
}

Test(keyring, texts_are_parsed_strictly)
{
    static const char *const bad[] = {"", "short",
                                      "MDEyMzQ1Njc4OWFiY2RlZmc=", "MDEyMzQ1Njc4OWFiY2RlZg==\n"};
    char key[GOSSIP_KEY_MAX];
    char text[48];
    size_t len = 0;
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(keyring_parse(bad[i], key, &len, &why), ERR_INVALID, "%s", bad[i]);
    }
    cr_assert_eq(keyring_parse("MDEyMzQ1Njc4OWFiY2RlZg==", key, &len, &why), OK);
    cr_assert_eq(len, 16);
    gossip_keygen(text);
    cr_assert_eq(strlen(text), 44);
    cr_assert_eq(keyring_parse(text, key, &len, &why), OK);
    cr_assert_eq(len, 32);
}

Test(keyring, the_file_is_kept_private_and_read_back_whole)
{
    char path[128];
    char raw[32];
    struct stat st;
    struct keyring *k = keyring_new(&env);
    struct keyring *back = keyring_new(&env);
    scratch_make();
    (void)snprintf(path, sizeof path, "%s/keyring", scratch);
    cr_assert_eq(keyring_load(back, path, &why), ERR_NOT_FOUND);
    cr_assert_eq(keyring_install(k, key_of(raw, 16, 'a'), &why), OK);
    cr_assert_eq(keyring_install(k, key_of(raw, 32, 'b'), &why), OK);
    cr_assert_eq(keyring_save(k, path, &why), OK);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(keyring_load(back, path, &why), OK);
    cr_assert_eq(keyring_count(back), 2);
    cr_assert(bytes_equal(keyring_at(back, 1), key_of(raw, 32, 'b')));
    cr_assert_eq(truncate(path, 20), 0);
    cr_assert_eq(keyring_load(back, path, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, path));
    cr_assert_eq(keyring_count(back), 2);
    scratch_drop();
    keyring_free(k);
    keyring_free(back);
}

/* --- packets ------------------------------------------------------------------------------------
 */

struct pair {
    struct keyring *keys[2];
    struct seal *seals[2];
    struct buf wire;
    struct buf out;
};

static void pair_open(struct pair *p, char key_a, char key_b, const char *label_b)
{
    char raw[32];
    for (size_t i = 0; i < 2; i++) {
        char key = i == 0 ? key_a : key_b;
        p->keys[i] = keyring_new(&env);
        if (key != 0) {
            cr_assert_eq(keyring_install(p->keys[i], key_of(raw, 32, key), &why), OK);
        }
        p->seals[i] = seal_new(&env, p->keys[i], i == 0 ? "dc1" : label_b);
    }
    buf_init(&p->wire, GOSSIP_PACKET_MAX + 1);
    buf_init(&p->out, GOSSIP_PACKET_MAX + 1);
}

static void pair_close(struct pair *p)
{
    for (size_t i = 0; i < 2; i++) {
        seal_free(p->seals[i]);
        keyring_free(p->keys[i]);
    }
    buf_close(&p->wire);
    buf_close(&p->out);
}

static enum err pair_send(struct pair *p, struct bytes packet)
{
    seal_packet(p->seals[0], packet, &p->wire);
    return seal_open_packet(p->seals[1], buf_view(&p->wire), &p->out);
}

/* Sealed or clear, with the same key and label or not: who hears whom. */
Test(seal, only_the_same_key_and_label_are_heard)
{
    static const struct {
        char a;
        char b;
        const char *label;
        enum err e;
    } cases[] = {
        {'k', 'k', "dc1", OK},       {'k', 'k', "dc2", ERR_DENIED}, {'k', 'l', "dc1", ERR_DENIED},
        {'k', 0, "dc1", ERR_DENIED}, {0, 'k', "dc1", ERR_DENIED},   {0, 0, "dc1", OK},
        {0, 0, "dc2", ERR_DENIED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p;
        pair_open(&p, cases[i].a, cases[i].b, cases[i].label);
        cr_assert_eq(pair_send(&p, BYTES("packet")), cases[i].e, "case %zu", i);
        if (cases[i].e == OK) {
            cr_assert(bytes_equal(buf_view(&p.out), BYTES("packet")));
        }
        pair_close(&p);
    }
}

/* The largest body of a packet, sealed, is exactly the largest packet. */
Test(seal, the_largest_packet_fits)
{
    struct pair p;
    char body[GOSSIP_PACKET_MAX - GOSSIP_SEAL_MAX];
    memset(body, 'x', sizeof body);
    pair_open(&p, 'k', 'k', "dc1");
    cr_assert_eq(pair_send(&p, (struct bytes){body, sizeof body}), OK);
    cr_assert_eq(p.wire.len, GOSSIP_PACKET_MAX);
    cr_assert_eq(p.out.len, sizeof body);
    pair_close(&p);
}

/* In any order each packet is let in once; twice, or from before the window, never. */
Test(seal, a_packet_counts_once)
{
    enum {
        PACKETS = 3000
    };
    struct pair p;
    char *kept = mem_zalloc(PACKETS, 64);
    size_t len = 0;
    pair_open(&p, 'k', 'k', "dc1");
    for (size_t i = 0; i < PACKETS; i++) {
        seal_packet(p.seals[0], BYTES("packet"), &p.wire);
        memcpy(kept + i * 64, p.wire.ptr, p.wire.len);
        len = p.wire.len;
    }
    for (size_t round = 0; round < 2; round++) {
        for (size_t block = 0; block < 1000; block += 100) {
            for (size_t i = 100; i > 0; i--) {
                struct bytes wire = {kept + (block + i - 1) * 64, len};
                cr_assert_eq(seal_open_packet(p.seals[1], wire, &p.out),
                             round == 0 ? OK : ERR_CONFLICT, "packet %zu", block + i);
            }
        }
    }
    struct bytes newest = {kept + 2999 * 64, len};
    struct bytes inside = {kept + (2999 - GOSSIP_REPLAY_WINDOW + 1) * 64, len};
    struct bytes before = {kept + (2999 - GOSSIP_REPLAY_WINDOW) * 64, len};
    cr_assert_eq(seal_open_packet(p.seals[1], newest, &p.out), OK);
    cr_assert_eq(seal_open_packet(p.seals[1], inside, &p.out), OK);
    cr_assert_eq(seal_open_packet(p.seals[1], before, &p.out), ERR_CONFLICT);
    cr_assert_eq(seal_open_packet(p.seals[1], newest, &p.out), ERR_CONFLICT);
    free(kept);
    pair_close(&p);
}
