#include "core/gossip/keyring.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 16 keys of 44 characters, and their frame. */
#define KEYRING_FILE_MAX KIB(4)

struct key {
    unsigned char raw[GOSSIP_KEY_MAX];
    size_t len;
};

struct keyring {
    struct env *env;
    EVP_CIPHER_CTX *cipher;
    size_t count;
    struct key keys[GOSSIP_KEYS_MAX];
};

struct keyring *keyring_new(struct env *env)
{
    struct keyring *k = mem_zalloc(1, sizeof *k);
    k->env = env;
    k->cipher = EVP_CIPHER_CTX_new();
    if (k->cipher == NULL) {
        fatal("out of memory (cipher)");
    }
    return k;
}

void keyring_free(struct keyring *k)
{
    if (k == NULL) {
        return;
    }
    EVP_CIPHER_CTX_free(k->cipher);
    OPENSSL_cleanse(k->keys, sizeof k->keys);
    free(k);
}

/* --- keys ------------------------------------------------------------------------------------ */

static bool key_len_valid(size_t len)
{
    return len == 16 || len == 24 || len == 32;
}

enum err
keyring_parse(const char *text, char ret_key[GOSSIP_KEY_MAX], size_t *ret_len, struct reason *why)
{
    struct buf raw;
    buf_init(&raw, GOSSIP_KEY_MAX + 1);
    enum err e = base64_decode(&raw, bytes_of(text));
    if (e == OK && !key_len_valid(raw.len)) {
        e = ERR_INVALID;
    }
    if (e == OK) {
        memcpy(ret_key, raw.ptr, raw.len);
        *ret_len = raw.len;
    } else {
        reason_set(why, "a gossip key is 16, 24 or 32 bytes in base64 (make one with keygen)");
        e = ERR_INVALID;
    }
    if (raw.len > 0) {
        OPENSSL_cleanse(raw.ptr, raw.len);
    }
    buf_close(&raw);
    return e;
}

void keyring_text(struct bytes key, char ret_text[48])
{
    struct buf text;
    buf_init(&text, 47);
    enum err e = base64_encode(&text, key);
    CHECK(e == OK);
    if (text.len > 0) {
        memcpy(ret_text, text.ptr, text.len);
    }
    ret_text[text.len] = '\0';
    buf_close(&text);
}

void gossip_keygen(char ret_key[48])
{
    char raw[32];
    env_real_random(raw, sizeof raw);
    keyring_text((struct bytes){raw, sizeof raw}, ret_key);
    OPENSSL_cleanse(raw, sizeof raw);
}

size_t keyring_count(const struct keyring *k)
{
    return k->count;
}

struct bytes keyring_at(const struct keyring *k, size_t i)
{
    CHECK(i < k->count);
    return (struct bytes){(const char *)k->keys[i].raw, k->keys[i].len};
}

/* `count` if it is not there. */
static size_t key_find(const struct keyring *k, struct bytes key)
{
    size_t i = 0;
    while (i < k->count && !bytes_equal(keyring_at(k, i), key)) {
        i++;
    }
    return i;
}

enum err keyring_install(struct keyring *k, struct bytes key, struct reason *why)
{
    if (!key_len_valid(key.len)) {
        reason_set(why, "a gossip key has 16, 24 or 32 bytes, not %zu", key.len);
        return ERR_INVALID;
    }
    if (key_find(k, key) < k->count) {
        return OK;
    }
    if (k->count == GOSSIP_KEYS_MAX) {
        reason_set(why, "the keyring holds %u keys already: remove one first", GOSSIP_KEYS_MAX);
        return ERR_LIMIT;
    }
    struct key *slot = &k->keys[k->count++];
    memcpy(slot->raw, key.ptr, key.len);
    slot->len = key.len;
    return OK;
}

enum err keyring_use(struct keyring *k, struct bytes key, struct reason *why)
{
    size_t at = key_find(k, key);
    if (at == k->count) {
        reason_set(why, "the key is not in the keyring: install it first");
        return ERR_NOT_FOUND;
    }
    struct key first = k->keys[at];
    memmove(&k->keys[1], &k->keys[0], at * sizeof first);
    k->keys[0] = first;
    OPENSSL_cleanse(&first, sizeof first);
    return OK;
}

enum err keyring_remove(struct keyring *k, struct bytes key, struct reason *why)
{
    size_t at = key_find(k, key);
    if (at == k->count) {
        return OK;
    }
    if (at == 0) {
        reason_set(why, "the key is in use: use another one first");
        return ERR_CONFLICT;
    }
    k->count--;
    memmove(&k->keys[at], &k->keys[at + 1], (k->count - at) * sizeof(struct key));
    OPENSSL_cleanse(&k->keys[k->count], sizeof(struct key));
    return OK;
}

/* --- the file -------------------------------------------------------------------------------- */

static enum err load_array(struct keyring *k, json_t *array, const char *path, struct reason *why)
{
    struct keyring found = {.env = k->env};
    enum err e = json_is_array(array) && json_array_size(array) > 0 ? OK : ERR_INVALID;
    for (size_t i = 0; e == OK && i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        char key[GOSSIP_KEY_MAX];
        size_t len = 0;
        struct reason unused;
        e = text == NULL ? ERR_INVALID : keyring_parse(text, key, &len, &unused);
        if (e == OK) {
            e = keyring_install(&found, (struct bytes){key, len}, &unused);
        }
        OPENSSL_cleanse(key, sizeof key);
    }
    if (e == OK) {
        k->count = found.count;
        memcpy(k->keys, found.keys, sizeof k->keys);
    } else {
        reason_set(why, "%s: is not a JSON array of 1 to %u gossip keys in base64", path,
                   GOSSIP_KEYS_MAX);
        e = ERR_INVALID;
    }
    OPENSSL_cleanse(found.keys, sizeof found.keys);
    return e;
}

enum err keyring_load(struct keyring *k, const char *path, struct reason *why)
{
    char text[KEYRING_FILE_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return ERR_NOT_FOUND;
    }
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (len < 0) {
        reason_set(why, "%s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (len < 0) {
        return ERR_IO;
    }
    json_t *array = json_loadb(text, (size_t)len, 0, NULL);
    enum err e = load_array(k, array, path, why);
    json_decref(array);
    OPENSSL_cleanse(text, sizeof text);
    return e;
}

static enum err file_write(const char *path, struct bytes text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    errno = error;
    return written ? OK : ERR_IO;
}

enum err keyring_save(const struct keyring *k, const char *path, struct reason *why)
{
    char beside[PATH_MAX];
    struct buf text;
    buf_init(&text, KEYRING_FILE_MAX);
    buf_put_str(&text, "[");
    for (size_t i = 0; i < k->count; i++) {
        char key[48];
        keyring_text(keyring_at(k, i), key);
        buf_put_str(&text, i == 0 ? "\n  \"" : ",\n  \"");
        buf_put_str(&text, key);
        buf_put_str(&text, "\"");
        OPENSSL_cleanse(key, sizeof key);
    }
    buf_put_str(&text, "\n]\n");
    (void)snprintf(beside, sizeof beside, "%s.new", path);
    enum err e = file_write(beside, buf_view(&text));
    if (e == OK && rename(beside, path) != 0) {
        e = ERR_IO;
    }
    if (e != OK) {
        reason_set(why, "%s: %s", beside, strerror(errno));
    }
    OPENSSL_cleanse(text.ptr, text.len);
    buf_close(&text);
    return e;
}

/* --- sealing --------------------------------------------------------------------------------- */

static const EVP_CIPHER *key_cipher(const struct key *key)
{
    if (key->len == 16) {
        return EVP_aes_128_gcm();
    }
    return key->len == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
}

void keyring_seal(struct keyring *k, struct bytes plain, struct bytes associated, struct buf *out)
{
    CHECK(k->count > 0 && plain.len <= INT_MAX && associated.len <= INT_MAX);
    enum err e = buf_reserve(out, plain.len + KEYRING_OVERHEAD);
    CHECK(e == OK);
    unsigned char *nonce = (unsigned char *)out->ptr + out->len;
    unsigned char *body = nonce + KEYRING_NONCE;
    unsigned char *tag = body + plain.len;
    int len = 0;
    env_random(k->env, nonce, KEYRING_NONCE);
    bool good =
        EVP_EncryptInit_ex(k->cipher, key_cipher(&k->keys[0]), NULL, k->keys[0].raw, nonce) == 1 &&
        EVP_EncryptUpdate(k->cipher, NULL, &len, (const unsigned char *)associated.ptr,
                          (int)associated.len) == 1 &&
        (plain.len == 0 ||
         EVP_EncryptUpdate(k->cipher, body, &len, (const unsigned char *)plain.ptr,
                           (int)plain.len) == 1) &&
        EVP_EncryptFinal_ex(k->cipher, tag, &len) == 1 &&
        EVP_CIPHER_CTX_ctrl(k->cipher, EVP_CTRL_GCM_GET_TAG, KEYRING_TAG, tag) == 1;
    CHECK(good);
    out->len += plain.len + KEYRING_OVERHEAD;
}

static bool unseal_with(struct keyring *k,
                        const struct key *key,
                        struct bytes sealed,
                        struct bytes associated,
                        unsigned char *to)
{
    const unsigned char *nonce = (const unsigned char *)sealed.ptr;
    const unsigned char *body = nonce + KEYRING_NONCE;
    size_t body_len = sealed.len - KEYRING_OVERHEAD;
    unsigned char tag[KEYRING_TAG];
    int len = 0;
    memcpy(tag, body + body_len, sizeof tag);
    return EVP_DecryptInit_ex(k->cipher, key_cipher(key), NULL, key->raw, nonce) == 1 &&
           EVP_DecryptUpdate(k->cipher, NULL, &len, (const unsigned char *)associated.ptr,
                             (int)associated.len) == 1 &&
           (body_len == 0 || EVP_DecryptUpdate(k->cipher, to, &len, body, (int)body_len) == 1) &&
           EVP_CIPHER_CTX_ctrl(k->cipher, EVP_CTRL_GCM_SET_TAG, KEYRING_TAG, tag) == 1 &&
           EVP_DecryptFinal_ex(k->cipher, to + body_len, &len) == 1;
}

enum err
keyring_unseal(struct keyring *k, struct bytes sealed, struct bytes associated, struct buf *out)
{
    if (sealed.len < KEYRING_OVERHEAD || sealed.len > INT_MAX) {
        return ERR_DENIED;
    }
    size_t len = sealed.len - KEYRING_OVERHEAD;
    if (out->len + len > out->max || buf_reserve(out, len + 1) != OK) {
        return ERR_DENIED;
    }
    for (size_t i = 0; i < k->count; i++) {
        unsigned char *to = (unsigned char *)out->ptr + out->len;
        if (unseal_with(k, &k->keys[i], sealed, associated, to)) {
            out->len += len;
            return OK;
        }
    }
    return ERR_DENIED;
}
