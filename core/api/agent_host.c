/* /v1/agent/host and version: the machine, and what runs on it. */
#include "core/api/cluster.h"
#include "core/config.h"
#include "core/host.h"
#include "core/version.h"

#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

static json_t *host_disk(const char *path)
{
    struct statvfs st;
    if (path == NULL || statvfs(path, &st) != 0) {
        return json_null();
    }
    json_int_t total = (json_int_t)st.f_blocks * (json_int_t)st.f_frsize;
    json_int_t left = (json_int_t)st.f_bavail * (json_int_t)st.f_frsize;
    return json_pack("{s:s, s:I, s:I, s:I}", "path", path, "total", total, "free", left, "used",
                     total - left);
}

void api_agent_host(struct request *r)
{
    struct api *api = api_of(r);
    struct sysinfo info = {0};
    struct utsname name = {0};
    uint64_t now_ms = env_wall_ms(loop_env(api->loop));
    (void)sysinfo(&info);
    (void)uname(&name);
    json_int_t unit = (json_int_t)info.mem_unit;
    json_t *cpus = json_array();
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < count; i++) {
        (void)json_array_append_new(cpus, json_pack("{s:i, s:i}", "cpu", (int)i, "cores", 1));
    }
    json_t *memory =
        json_pack("{s:I, s:I, s:I}", "total", (json_int_t)info.totalram * unit, "free",
                  (json_int_t)info.freeram * unit, "buffers", (json_int_t)info.bufferram * unit);
    json_t *host = json_pack("{s:s, s:I, s:I, s:s, s:s, s:s}", "hostname", name.nodename, "uptime",
                             (json_int_t)info.uptime, "procs", (json_int_t)info.procs, "os",
                             "linux", "kernelVersion", name.release, "kernelArch", name.machine);
    api_reply_value(r, 200,
                    json_pack("{s:o, s:o, s:o, s:o, s:I, s:n}", "Memory", memory, "CPU", cpus,
                              "Host", host, "Disk", host_disk(api->config->data_dir),
                              "CollectionTime", (json_int_t)now_ms * 1000000, "Errors"));
}

void api_agent_version(struct request *r)
{
    api_reply_value(r, 200,
                    json_pack("{s:s, s:s, s:s, s:s}", "SHA", "", "BuildDate", "", "HumanVersion",
                              CONSUL_API_VERSION, "FIPS", ""));
}
