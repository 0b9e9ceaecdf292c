/* Reads of the fleet, /v1/catalog/..., /v1/health/..., /v1/internal/ui/...: what they share. A
 * question is written into the `variant` of a watch_query, so that identical questions share one
 * answer, and answered as a pure function of a view.
 *
 * Index    a question waits for one name (store/fleet.h): a table, service.<name>, node.<name>. One
 *          about something that is not there reports when last something went, and is woken by
 *          nothing but its coming.
 * Owner    a question decoded from a variant borrows from it.
 * Limits   FLEET_ANSWER_MAX bytes of an answer: ERR_TOO_BIG.
 * Threads  the front's loop.
 */
#ifndef CORE_API_FLEET_READ_H
#define CORE_API_FLEET_READ_H

#include "core/api/api.h"
#include "core/api/bexpr_rows.h"
#include "store/fleet.h"

struct fleet_question {
    bool pretty;
    bool passing;
    struct bytes datacenter;
    struct bytes name; /* what the path named; empty: nothing */
    struct bytes near; /* the node's name, not _agent; empty: no order asked for */
    struct bytes filter;
    struct bytes tags; /* texts */
    struct bytes meta; /* texts: names and values in turn; of the node */
};

/* One row of an answer, as text; with `near` they are put in order at the end. */
struct fleet_piece {
    size_t from;
    size_t len;
    double distance;
    size_t order;
};

struct coordinates;

/* An answer under construction. */
struct fleet_answer {
    struct view *view;
    struct fleet_question q;
    struct bexpr *filter;
    struct buf text;
    size_t rows;
    /* The node that was asked for last: rows come in the order of nodes. */
    struct buf node_name;
    struct view_pin node_pin;
    struct node_row node;
    enum err node_status;
    /* with `near` */
    struct coordinates *near;
    struct fleet_piece *pieces;
    size_t piece_cap;
};

/* What kind of answer an endpoint gives. */
struct fleet_form {
    const char *index;   /* the name that it waits for, or what stands in front of the path's */
    const char *also[2]; /* tables whose index counts too, though nothing is woken by them */
    const char *missing; /* the path must name something: what is said if it does not; else NULL */
    const struct bexpr_schema *schema; /* of ?filter; NULL: it is not looked at */
    bool catalog;                      /* X-Consul-Effective-Consistency */
    bool cacheable;                    /* ?cached */
    bool constant;                     /* always the same: nothing wakes it */
    bool passing;                      /* ?passing is looked at */
    enum err (*rows)(struct fleet_answer *a);
    /* NULL: 200 always. */
    int (*status)(const struct fleet_answer *a);
};

/* Answers `r` by that form. */
void fleet_ask(struct request *r, const struct fleet_form *form);
/* Answers `r`, which asks who takes part in the mesh: there is none, so nothing does. */
void fleet_ask_mesh(struct request *r);

/* --- rows of a scan -----------------------------------------------------------------------------
 *
 * As fleet_next_*(), but of what the rights at hand may see (rights.h): a service and its checks
 * with its node; `name`: a service by its name alone, wherever it is. */
enum err fleet_read_node(struct fleet_scan *scan, struct node_row *ret_row) ERR_MUST_USE;
enum err fleet_read_service(struct fleet_scan *scan, struct service_row *ret_row) ERR_MUST_USE;
enum err fleet_read_name(struct fleet_scan *scan, struct service_row *ret_row) ERR_MUST_USE;
enum err fleet_read_check(struct fleet_scan *scan, struct check_row *ret_row) ERR_MUST_USE;

/* --- for `rows` ------------------------------------------------------------------------------ */

/* The node's row, kept until another one is asked for; ERR_NOT_FOUND also where the rights at hand
 * may not see it. */
enum err fleet_answer_node(struct fleet_answer *a, struct bytes name) ERR_MUST_USE;
/* Whether that node has what ?node-meta asks for. */
bool fleet_answer_meta(const struct fleet_answer *a);
/* Whether `tags` have all that ?tag asks for. */
bool fleet_answer_tags(const struct fleet_answer *a, struct bytes tags);
bool fleet_answer_matches(const struct fleet_answer *a, const struct bexpr_row *row);
/* Around one element of the outermost list: the comma, and where `near` puts it. */
enum err fleet_answer_begin(struct fleet_answer *a) ERR_MUST_USE;
enum err fleet_answer_end(struct fleet_answer *a, struct bytes node) ERR_MUST_USE;
/* Forgets what was begun: the row is left out after all. */
void fleet_answer_drop(struct fleet_answer *a);
/* A literal. */
enum err fleet_answer_put(struct fleet_answer *a, struct bytes json) ERR_MUST_USE;

/* --- distances (near.c) ---------------------------------------------------------------------- */

/* From `node`; NULL: it has no coordinate, so that there is no order. */
struct coordinates *coordinates_from(struct view *v, struct bytes node);
void coordinates_free(struct coordinates *c);
/* Seconds; infinite where it is not known. */
double coordinates_distance(struct coordinates *c, struct bytes node);

#endif
