#include "core/cli/call.h"

#include "core/cli/cli.h"

enum err cli_try(const struct http_options *options,
                 const struct http_call *call,
                 struct http_answer *ret_answer,
                 struct reason *why)
{
    struct http_client *client = NULL;
    *ret_answer = (struct http_answer){0};
    enum err e = http_client_open(options, &client, why);
    if (e != OK) {
        return e;
    }
    e = http_client_call(client, call, ret_answer, why);
    if (e == OK && ret_answer->status != 200) {
        http_answer_reason(ret_answer, why);
        e = ERR_IO;
    }
    http_client_close(client);
    if (e != OK) {
        http_answer_close(ret_answer);
    }
    return e;
}

bool cli_call(const struct http_options *options,
              const struct http_call *call,
              const char *failed,
              struct http_answer *ret_answer,
              int *ret_status)
{
    struct reason why;
    enum err e = cli_try(options, call, ret_answer, &why);
    if (e == ERR_INVALID) {
        *ret_status = cli_fail("Error connecting to Consul agent: %s", why.text);
    } else if (e != OK) {
        *ret_status = cli_fail("%s: %s", failed, why.text);
    }
    return e == OK;
}
