/* /v1/agent/connect/ca: the service mesh is not here, but clients ask for its root before they do
 * anything else. They are given one: a certificate of a key that this process made, keeps nowhere
 * and signs nothing else with. The only file of the API that knows OpenSSL's certificates. */
#include "core/api/cluster.h"
#include "core/base/check.h"
#include "core/host.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_DAYS 3650L

static struct {
    pthread_once_t once;
    char id[3 * SHA_DIGEST_LENGTH];
    char *pem;
    uint64_t from_ms;
    uint64_t serial;
} root = {.once = PTHREAD_ONCE_INIT};

static void root_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(e != NULL);
    CHECK(X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static X509 *root_sign(EVP_PKEY *key)
{
    X509 *x = X509_new();
    CHECK(x != NULL);
    time_t now = (time_t)(root.from_ms / 1000);
    X509_NAME *name = X509_get_subject_name(x);
    CHECK(X509_set_version(x, 2) == 1);
    CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), root.serial) == 1);
    CHECK(X509_time_adj_ex(X509_getm_notBefore(x), 0, 0, &now) != NULL);
    CHECK(X509_time_adj_ex(X509_getm_notAfter(x), ROOT_DAYS, 0, &now) != NULL);
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     (const unsigned char *)"Herald placeholder root", -1, -1,
                                     0) == 1);
    CHECK(X509_set_issuer_name(x, name) == 1);
    CHECK(X509_set_pubkey(x, key) == 1);
    root_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    root_extension(x, NID_key_usage, "critical,keyCertSign,cRLSign");
    root_extension(x, NID_subject_key_identifier, "hash");
    CHECK(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

/* Consul's id of a root: the SHA-1 of the certificate, bytes with colons between. */
static void root_name(X509 *x)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    CHECK(X509_digest(x, EVP_sha1(), digest, &len) == 1);
    for (unsigned i = 0; i < SHA_DIGEST_LENGTH && i < len; i++) {
        (void)snprintf(root.id + 3 * (size_t)i, 4, i + 1 < SHA_DIGEST_LENGTH ? "%02x:" : "%02x",
                       digest[i]);
    }
}

static void root_make(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *out = BIO_new(BIO_s_mem());
    CHECK(key != NULL);
    CHECK(out != NULL);
    root.from_ms = env_real_wall_ms();
    env_real_random(&root.serial, sizeof root.serial);
    root.serial >>= 1;
    X509 *x = root_sign(key);
    root_name(x);
    CHECK(PEM_write_bio_X509(out, x) == 1);
    char *text = NULL;
    long len = BIO_get_mem_data(out, &text);
    CHECK(len > 0);
    static char kept[4096];
    CHECK((size_t)len < sizeof kept);
    memcpy(kept, text, (size_t)len);
    root.pem = kept;
    X509_free(x);
    BIO_free(out);
    EVP_PKEY_free(key);
}

void api_agent_connect_roots(struct request *r)
{
    struct api *api = api_of(r);
    char from[TIME_TEXT_LEN];
    char until[TIME_TEXT_LEN];
    char domain[UUID_TEXT_LEN + 16];
    CHECK(pthread_once(&root.once, root_make) == 0);
    time_text(root.from_ms, from);
    time_text(root.from_ms + (uint64_t)ROOT_DAYS * 86400000U, until);
    (void)snprintf(domain, sizeof domain, "%s.consul", host_node_id(api->host));
    json_t *one = json_pack(
        "{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:n, s:b, s:s, s:i, s:i, s:i}", "ID", root.id,
        "Name", "Herald placeholder root", "SerialNumber", (json_int_t)root.serial, "SigningKeyID",
        root.id, "ExternalTrustDomain", host_node_id(api->host), "NotBefore", from, "NotAfter",
        until, "RootCert", root.pem, "IntermediateCerts", "Active", 1, "PrivateKeyType", "ec",
        "PrivateKeyBits", 256, "CreateIndex", 1, "ModifyIndex", 1);
    api_meta_headers(r, 1);
    api_reply_value(r, 200,
                    json_pack("{s:s, s:s, s:[o]}", "ActiveRootID", root.id, "TrustDomain", domain,
                              "Roots", one));
}

void api_agent_connect_leaf(struct request *r)
{
    reply_text(r, 404, "there is no service mesh here, so there are no certificates for services");
}
