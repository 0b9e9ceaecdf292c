/* The clients' history, judged by the checker that also judges real processes. */
#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/linear.h"
#include "tests/sim/model.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

static enum history_kind linear_kind(enum op_type type)
{
    switch (type) {
    case OP_SET:
        return HISTORY_SET;
    case OP_CAS:
        return HISTORY_CAS;
    case OP_REMOVE:
        return HISTORY_DELETE;
    case OP_REMOVE_CAS:
        return HISTORY_DELETE_CAS;
    case OP_REMOVE_PREFIX:
    case OP_READ:
        break;
    }
    return HISTORY_GET;
}

static enum history_outcome linear_outcome(const struct op *op)
{
    switch (op->outcome) {
    case OUTCOME_OK:
        return HISTORY_OK;
    case OUTCOME_CONFLICT:
        return HISTORY_FAILED;
    case OUTCOME_REFUSED:
        return HISTORY_REFUSED;
    case OUTCOME_PENDING:
    case OUTCOME_UNKNOWN:
        break;
    }
    return HISTORY_UNKNOWN;
}

static void linear_add(struct history *h, const struct op *op)
{
    char key[16];
    char written[24];
    char read[24];
    key_name(op->key, key);
    (void)snprintf(written, sizeof written, "%llu", (unsigned long long)op->number);
    (void)snprintf(read, sizeof read, "%llu", (unsigned long long)op->value);
    struct history_call call = {
        .client = op->client,
        .start = op->begin_us,
        .kind = linear_kind(op->type),
        .mode =
            op->type == OP_READ && op->mode != READ_CONSISTENT ? HISTORY_STALE : HISTORY_CONSISTENT,
        .key = bytes_of(key),
        .value = op->type == OP_SET || op->type == OP_CAS ? bytes_of(written) : (struct bytes){0},
        .cas = op->cas_index,
        .sent = op->sent,
    };
    uint32_t number = history_begin(h, &call);
    uint64_t place = op->type != OP_READ ? model_index_of(op->number) : 0;
    struct history_answer answer = {
        .end = op->end_us,
        .outcome = linear_outcome(op),
        .found = op->found,
        .value = op->found ? bytes_of(read) : (struct bytes){0},
        .index = op->type == OP_READ ? (op->found ? op->modify_index : 0) : place,
        .view = op->type == OP_READ && op->outcome == OUTCOME_OK ? op->index : 0,
    };
    if (answer.outcome != HISTORY_UNKNOWN) {
        history_end(h, number, &answer);
    } else if (place != 0) {
        history_learn(h, number, place);
    }
}

void check_linear(void)
{
    static struct linear_report report;
    struct history h;
    history_init(&h);
    for (size_t i = 0; i < clients.count; i++) {
        linear_add(&h, clients.ops[i]);
    }
    linear_check(&h, NULL, &report);
    if (report.verdict == LINEAR_OK) {
        linear_check_stale(&h, &report);
    }
    if (report.verdict != LINEAR_OK) {
        report.text[strcspn(report.text, "\n")] = '\0';
        world_violate("the history is not linearizable: %s: %s",
                      linear_verdict_name(report.verdict), report.text);
    }
    history_close(&h);
}
