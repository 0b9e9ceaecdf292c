#include "core/base/sm.h"

#include "core/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void sm_init(struct sm *sm, const struct sm_state *states, unsigned first)
{
    *sm = (struct sm){.states = states, .state = first};
}

void sm_move(struct sm *sm, unsigned to)
{
    const struct sm_state *from = &sm->states[sm->state];
    if ((from->next & SM_TO(to)) == 0) {
        (void)fprintf(stderr, "herald: bug: move %s -> %s\n", from->name, sm->states[to].name);
        abort();
    }
    sm->state = to;
}

const char *sm_name(const struct sm *sm)
{
    return sm->states[sm->state].name;
}
