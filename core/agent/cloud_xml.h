/* XML, as much of it as answers of clouds are made of: elements and their text. Attributes,
 * comments and declarations are passed over; a document type is refused. Pure.
 *
 * Owner    what is found points into the input.
 * Limits   CLOUD_XML_DEPTH_MAX
 * Threads  none.
 */
#ifndef CORE_AGENT_CLOUD_XML_H
#define CORE_AGENT_CLOUD_XML_H

#include "core/base/buf.h"
#include "core/base/limit.h"

enum xml_found {
    XML_TEXT, /* the text of an element without others in it; `path` is where */
    XML_END,  /* all is read, and every element has ended */
    XML_BAD,
};

struct xml {
    /* read-only */
    struct bytes text; /* XML_TEXT: as written, with its entities */
    size_t depth;
    struct bytes path[CLOUD_XML_DEPTH_MAX];
    /* private */
    struct bytes rest;
    struct bytes pending; /* the end of the element at hand */
    bool leaf;            /* the last tag opened an element */
    bool any;
};

void xml_init(struct xml *x, struct bytes text);
enum xml_found xml_next(struct xml *x);
/* Whether the element at hand is at `path` ("a/b/c", from the outermost). */
bool xml_at(const struct xml *x, const char *path);

#endif
