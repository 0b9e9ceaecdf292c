/* Any text as an auto-join string: what is accepted holds together. And as XML: it ends. */
#include "core/agent/cloud.h"
#include "core/agent/cloud_xml.h"
#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

static struct cloud_query q;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reason why = {{0}};
    char *text = mem_dup(data, size);
    if (cloud_parse(text, &q, &why) == OK) {
        CHECK(q.count > 0 && q.count <= CLOUD_ARGS_MAX && cloud_is_query(text));
        for (size_t i = 0; i < q.count; i++) {
            CHECK(q.args[i].name >= q.text && strlen(q.args[i].value) < CLOUD_TEXT_MAX);
            CHECK(cloud_arg(&q, q.args[i].name) == q.args[i].value);
        }
    } else {
        CHECK(why.text[0] != '\0');
    }
    free(text);
    struct xml x;
    size_t found = 0;
    xml_init(&x, (struct bytes){(const char *)data, size});
    while (xml_next(&x) == XML_TEXT) {
        CHECK(x.depth > 0 && x.depth <= CLOUD_XML_DEPTH_MAX && x.text.len <= size);
        CHECK(++found <= size);
    }
    return 0;
}
