/* core/agent/cloud: auto-join strings. */
#include "core/agent/cloud.h"
#include "core/agent/cloud_sign.h"
#include "core/agent/cloud_xml.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct cloud_query q;

static enum err parse(const char *text)
{
    struct reason why = {{0}};
    enum err e = cloud_parse(text, &q, &why);
    cr_assert(e == OK || why.text[0] != '\0', "a refusal says why: %s", text);
    return e;
}

Test(cloud, strings_are_told_from_hosts)
{
    cr_assert(cloud_is_query("provider=aws tag_key=a tag_value=b"));
    cr_assert(cloud_is_query("tag_key=a provider=aws"));
    cr_assert_not(cloud_is_query("10.0.0.1:8301"));
    cr_assert_not(cloud_is_query("myprovider=x"));
}

Test(cloud, values_may_be_quoted)
{
    cr_assert_eq(parse("provider=aws  tag_key=\"a key\" tag_value=\"with \\\"x\\\" and \\\\\"\t"),
                 OK);
    cr_assert_eq(q.provider, CLOUD_AWS);
    cr_assert_str_eq(cloud_arg(&q, "tag_key"), "a key");
    cr_assert_str_eq(cloud_arg(&q, "tag_value"), "with \"x\" and \\");
    cr_assert_null(cloud_arg(&q, "region"));
}

Test(cloud, own_providers)
{
    cr_assert_eq(parse("provider=dns host=servers.example port=8301"), OK);
    cr_assert_eq(q.provider, CLOUD_DNS);
    cr_assert_eq(parse("provider=exec cmd=\"/bin/echo 10.0.0.1\""), OK);
    cr_assert_eq(q.provider, CLOUD_EXEC);
}

Test(cloud, malformed_is_refused)
{
    const char *const bad[] = {
        "provider=",
        "provider=mars",
        "provider=aws",
        "provider=aws tag_key=a",
        "provider=aws tag_key=a tag_value=b addr_type=pigeon",
        "provider=aws tag_key=a tag_value=b access_key_id=x",
        "provider=aws tag_key=a tag_value=b service=ecs",
        "provider=aws tag_key=a tag_value=b colour=red",
        "provider=aws tag_key=a tag_key=b tag_value=c",
        "provider=aws tag_key=\"a tag_value=b",
        "provider=aws tag_key=\"a\"b tag_value=b",
        "provider=aws tag_key=a tag_value=b loose",
        "provider=aws =x tag_key=a tag_value=b",
        "provider=dns",
        "provider=dns host=",
        "provider=dns host=a port=70000",
        "provider=exec cmd=",
        "provider=gce project_name=p tag_value=t",
        "provider=azure tag_name=a tag_value=b tenant_id=c client_id=d subscription_id=e",
        "provider=k8s label_selector=\"app=consul\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(parse(bad[i]), ERR_INVALID, "%s", bad[i]);
    }
}

/* Each provider that Consul knows is known, and said not to be there. */
Test(cloud, other_clouds_say_that_they_are_not_there)
{
    const char *const names[] = {"aliyun", "azure",   "digitalocean", "gce",          "hcp",
                                 "k8s",    "linode",  "mdns",         "os",           "packet",
                                 "triton", "vsphere", "scaleway",     "tencentcloud", "softlayer"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[128];
        struct reason why = {{0}};
        (void)snprintf(text, sizeof text, "provider=%s a=b", names[i]);
        cr_assert_eq(cloud_parse(text, &q, &why), ERR_INVALID);
        cr_assert_not_null(strstr(why.text, "not there"), "%s", why.text);
    }
}

Test(cloud, limits)
{
    static char text[CLOUD_TEXT_MAX + 64];
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "provider=dns host=", 18);
    cr_assert_eq(parse(text), ERR_INVALID);
    text[CLOUD_TEXT_MAX - 2] = '\0';
    cr_assert_eq(parse(text), OK);
    struct buf many;
    buf_init(&many, CLOUD_TEXT_MAX);
    buf_put_str(&many, "provider=dns host=a");
    for (unsigned i = 0; i < CLOUD_ARGS_MAX; i++) {
        cr_assert_eq(buf_printf(&many, " k%u=v", i), OK);
    }
    buf_put_char(&many, '\0');
    cr_assert_eq(parse(many.ptr), ERR_INVALID);
    buf_close(&many);
}

static void find(const char *cmd, enum err expected, struct cloud_found *ret_found)
{
    struct reason why = {{0}};
    atomic_bool stop = false;
    char text[256];
    (void)snprintf(text, sizeof text, "provider=exec cmd=\"%s\"", cmd);
    cr_assert_eq(parse(text), OK);
    enum err e = cloud_find(&q, &stop, ret_found, &why);
    cr_assert_eq(e, expected, "%s: %s", cmd, why.text);
}

/* A program's output is addresses; what is none is passed over. */
Test(cloud, exec_finds_addresses)
{
    struct cloud_found found;
    find("/bin/echo 10.0.0.1 nonsense ::1 '10.0.0.2 10.0.0.3'", OK, &found);
    cr_assert_eq(found.count, 4);
    cr_assert_str_eq(found.addresses[1], "::1");
    find("/bin/echo nothing", ERR_NOT_FOUND, &found);
    find("/bin/false", ERR_IO, &found);
    find("/nowhere/program", ERR_IO, &found);
    find("cat /dev/zero", ERR_IO, &found);
    /* No shell: this is an argument. */
    find("/bin/echo $(echo 10.0.0.9)", ERR_NOT_FOUND, &found);
}

/* Signatures that Python's hmac and hashlib have made of the same requests. */
Test(cloud, signature_is_the_one_that_others_make)
{
    struct cloud_key key = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL};
    const struct cloud_post post = {
        .host = "ec2.us-east-1.amazonaws.com",
        .region = "us-east-1",
        .service = "ec2",
        .wall_ms = 1440938160000,
        .body = BYTES("Action=DescribeInstances&Version=2016-11-15"),
    };
    struct buf out;
    buf_init(&out, KIB(16));
    cr_assert_eq(cloud_sign(&post, &key, &out), OK);
    cr_assert_str_eq(out.ptr, "X-Amz-Date: 20150830T123600Z");
    cr_assert_str_eq(out.ptr + strlen(out.ptr) + 1,
                     "Authorization: AWS4-HMAC-SHA256 "
                     "Credential=AKIDEXAMPLE/20150830/us-east-1/ec2/aws4_request, "
                     "SignedHeaders=content-type;host;x-amz-date, Signature="
                     "16bec6625521eb1b2a944bb8409fdd5a54007d61862cf7074d07d2e75a3a4950");
    key.token = "TOKEN";
    buf_clear(&out);
    cr_assert_eq(cloud_sign(&post, &key, &out), OK);
    const char *token = out.ptr + strlen(out.ptr) + 1;
    cr_assert_str_eq(token, "X-Amz-Security-Token: TOKEN");
    cr_assert_not_null(strstr(token + strlen(token) + 1,
                              "x-amz-security-token, Signature="
                              "b1967f5e8595d1d8b1d1ff5a14e2646cadb616a19a7b2d1d856dca3d018e7d0a"));
    buf_close(&out);
}

Test(cloud, xml_texts_are_found_where_they_are)
{
    struct xml x;
    xml_init(&x, BYTES("<?xml version=\"1.0\"?>\n<!-- <a> --><r xmlns=\"u>v\"><list>"
                       "<item><ip>10.0.0.1</ip><none/></item><item><ip>10.0.0.2</ip></item>"
                       "</list><next></next></r>"));
    cr_assert_eq(xml_next(&x), XML_TEXT);
    cr_assert(xml_at(&x, "r/list/item/ip") && bytes_equal(x.text, BYTES("10.0.0.1")));
    cr_assert_not(xml_at(&x, "r/list/item"));
    cr_assert_not(xml_at(&x, "r/list/item/ip/more"));
    cr_assert_eq(xml_next(&x), XML_TEXT);
    cr_assert(bytes_equal(x.text, BYTES("10.0.0.2")));
    cr_assert_eq(xml_next(&x), XML_TEXT);
    cr_assert(xml_at(&x, "r/next") && x.text.len == 0);
    cr_assert_eq(xml_next(&x), XML_END);
}

Test(cloud, bad_xml_is_refused)
{
    const char *const bad[] = {
        "",     "text", "<a>",  "<a></b>",      "</a>",   "<a><b></a></b>", "<a></a><b></b>",
        "<a x", "<>",   "<!--", "<!DOCTYPE a>", "<a></a", "<?xml",          "<a x='></a>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct xml x;
        enum xml_found found = XML_TEXT;
        xml_init(&x, bytes_of(bad[i]));
        while (found == XML_TEXT) {
            found = xml_next(&x);
        }
        cr_assert_eq(found, XML_BAD, "%s", bad[i]);
    }
    struct xml deep;
    struct buf text;
    buf_init(&text, KIB(4));
    for (unsigned i = 0; i < CLOUD_XML_DEPTH_MAX + 1; i++) {
        buf_put_str(&text, "<a>");
    }
    xml_init(&deep, buf_view(&text));
    cr_assert_eq(xml_next(&deep), XML_BAD);
    buf_close(&text);
}
