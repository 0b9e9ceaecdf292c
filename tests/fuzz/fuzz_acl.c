/* Policy texts of any kind: they are rules or an error, and what was accepted can be asked and
 * translated. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {(const char *)data, size};
    struct reason why;
    struct acl *a = acl_new(ACL_DENY);
    enum err e = acl_add(a, text, size % 2 == 0, &why);
    acl_seal(a);
    struct bytes name = bytes_slice(text, 0, size < 40 ? size : 40);
    for (unsigned r = 0; r < ACL_RESOURCES; r++) {
        bool one = acl_allows(a, (enum acl_resource)r, name, ACL_WRITE);
        /* Who may write all below a name may write that name, unless a rule is for it alone. */
        CHECK(!acl_allows_prefix(a, (enum acl_resource)r, name, ACL_WRITE) || one);
    }
    acl_unref(a);
    struct buf out;
    buf_init(&out, MIB(1));
    CHECK((acl_translate(&out, text, &why) == OK) == (e == OK) || out.len > 0 || size > 0);
    if (e == OK) {
        a = acl_new(ACL_DENY);
        CHECK(acl_add(a, buf_view(&out), false, &why) == OK || out.len > ACL_RULES_LEN_MAX);
        acl_unref(a);
    }
    buf_close(&out);
    return 0;
}
