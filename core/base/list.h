/* Doubly linked list whose links live in the members. An empty head points at itself.
 *
 * Owner    the list owns nothing; a member is in at most one list per link.
 * Threads  none.
 */
#ifndef CORE_BASE_LIST_H
#define CORE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* The member at hand may be removed inside the loop; its neighbours may not. */
#define LIST_FOREACH(at, head)                                                                     \
    for (struct list * (at) = (head)->next, *at##_next = (at)->next; (at) != (head);               \
         (at) = at##_next, at##_next = (at)->next)

static inline void list_init(struct list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Leaves `link` as an empty list of its own, so that removing twice is harmless. */
static inline void list_remove(struct list *link)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it takes the next member for the one before */
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Moves all members of `from` to the end of `to`. */
static inline void list_move_all(struct list *to, struct list *from)
{
    if (list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
