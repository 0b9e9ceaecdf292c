#include "core/host.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/config.h"
#include "core/datafile.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Configurations stay until the end. */
struct host_config {
    struct config *config;
    struct host_config *next;
};

const struct config *host_config(const struct host *h)
{
    return h->configs->config;
}

const char *host_node_id(const struct host *h)
{
    return h->node_id;
}

const char *host_machine(const struct host *h)
{
    return h->machine.machine;
}

/* The node's id: configured, or from the data directory, or new. */
static enum err host_identify(struct host *h, struct reason *why)
{
    const struct config *config = host_config(h);
    (void)uname(&h->machine);
    if (config->node_id != NULL) {
        (void)snprintf(h->node_id, sizeof h->node_id, "%s", config->node_id);
        return OK;
    }
    return datafile_node_id(config->data_dir, h->node_id, why);
}

enum err host_keep_id(struct host *h, struct reason *why)
{
    const struct config *config = host_config(h);
    if (config->data_dir == NULL) {
        return OK;
    }
    enum err e = datafile_make_dir(config->data_dir, why);
    return e == OK ? datafile_keep_node_id(config->data_dir, h->node_id, why) : e;
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void host_drain(struct host *h)
{
    if (h->state == HOST_RUNNING || h->state == HOST_LEAVING) {
        h->state = HOST_DRAINING;
        h->ops->drain(h);
    }
}

void host_drained(struct host *h)
{
    h->state = HOST_STOPPED;
    loop_stop(h->loop);
}

void host_left(void *host)
{
    host_drain(host);
}

void host_failed(void *host, const char *why)
{
    struct host *h = host;
    log_line(LOG_AGENT_FAILED, "%s", why);
    h->exit_status = 1;
    host_drain(h);
}

static void host_on_stop(struct mail *m)
{
    struct host *h = LIST_OWNER(m, struct host, stop_mail);
    log_line(LOG_AGENT_STOPPING, "reason=request");
    host_drain(h);
}

void host_stop(struct host *h)
{
    if (!atomic_exchange(&h->stop_posted, true)) {
        mailbox_post(loop_mailbox(h->loop), &h->stop_mail);
    }
}

/* --- another configuration ----------------------------------------------------------------------
 */

static void host_configure(struct host *h, struct config *config)
{
    struct host_config *kept = mem_alloc(sizeof *kept);
    *kept = (struct host_config){.config = config, .next = h->configs};
    h->configs = kept;
    for (size_t i = 0; i < config->warning_count; i++) {
        log_line(LOG_CONFIG_WARNING, "%s", config->warnings[i]);
    }
}

static void host_do_reload(struct host *h)
{
    struct config *config = NULL;
    struct reason why;
    if (h->state != HOST_RUNNING) {
        return;
    }
    if (config_reload(host_config(h), &config, &why) != OK) {
        log_line(LOG_AGENT_RELOAD_FAILED, "%s", why.text);
        return;
    }
    host_configure(h, config);
    log_set_level(config->log_level);
    h->ops->reload(h, config);
    log_line(LOG_AGENT_RELOADED, "%s", "");
}

static void host_on_reload(struct mail *m)
{
    struct host *h = LIST_OWNER(m, struct host, reload_mail);
    atomic_store(&h->reload_posted, false);
    host_do_reload(h);
}

void host_reload(struct host *h)
{
    if (!atomic_exchange(&h->reload_posted, true)) {
        mailbox_post(loop_mailbox(h->loop), &h->reload_mail);
    }
}

/* --- signals ------------------------------------------------------------------------------------
 */

static void host_on_signal(struct io *io, unsigned ready)
{
    (void)ready;
    struct host *h = LIST_OWNER(io, struct host, signal_io);
    struct signalfd_siginfo info;
    ssize_t got = read(io->fd, &info, sizeof info);
    if (got != (ssize_t)sizeof info) {
        return;
    }
    if (info.ssi_signo == SIGHUP) {
        host_do_reload(h);
        return;
    }
    if (h->state != HOST_RUNNING) {
        /* Whoever asks twice means it. The log is synced: nothing acknowledged is lost. */
        fatal("second %s while stopping", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
    const struct config *config = host_config(h);
    bool interrupt = info.ssi_signo == SIGINT;
    bool leave = interrupt ? !config->skip_leave_on_interrupt : config->leave_on_terminate;
    log_line(LOG_AGENT_STOPPING, "signal=%s leave=%s", interrupt ? "SIGINT" : "SIGTERM",
             leave ? "true" : "false");
    if (leave) {
        h->state = HOST_LEAVING;
        h->ops->leave(h);
    } else {
        host_drain(h);
    }
}

/* Blocked in every thread; read by the main loop. */
static int host_signal_fd(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        fatal("signalfd: %s", strerror(errno));
    }
    return fd;
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void host_close(struct host *h, int signal_fd)
{
    h->ops->close(h);
    while (h->configs != NULL) {
        struct host_config *kept = h->configs;
        h->configs = kept->next;
        config_free(kept->config);
        free(kept);
    }
    io_close(&h->signal_io);
    (void)close(signal_fd);
    loop_free(h->loop);
}

int host_main(struct host *h, const struct host_ops *ops, struct config *config)
{
    struct reason why = {{0}};
    *h = (struct host){
        .ops = ops,
        .loop = loop_new("main"),
        .stop_mail = {.deliver = host_on_stop},
        .reload_mail = {.deliver = host_on_reload},
    };
    log_set_level(config->log_level);
    log_set_json(config->log_json);
    int signal_fd = host_signal_fd();
    io_open(&h->signal_io, h->loop, signal_fd, host_on_signal);
    io_want(&h->signal_io, IO_READ);
    host_configure(h, config);
    log_line(LOG_AGENT_STARTING, "version=%s node=%s", HERALD_VERSION, config->node_name);
    char *pid_file = config->pid_file == NULL ? NULL : mem_strdup(config->pid_file);
    enum err e = host_identify(h, &why);
    e = e == OK ? ops->open(h, &why) : e;
    /* Only now: the file may be in the data directory, which is there from here on, and another
     * process that has that directory keeps its own. */
    e = e == OK && pid_file != NULL ? datafile_write_pid(pid_file, &why) : e;
    bool pid_written = e == OK && pid_file != NULL;
    if (e == OK) {
        ops->start(h);
        loop_run(h->loop);
        ops->join(h);
    } else {
        (void)fprintf(stderr, "==> Error starting agent: %s\n", why.text);
    }
    int status = e == OK ? h->exit_status : 1;
    host_close(h, signal_fd);
    if (pid_written) {
        (void)unlink(pid_file);
    }
    free(pid_file);
    if (e == OK) {
        log_line(LOG_AGENT_STOPPED, "%s", "");
    }
    return status;
}
