#include "core/agent/check/wire.h"

#include <string.h>

/* --- gRPC ---------------------------------------------------------------------------------------
 *
 *     0  compressed?  1..4  length, big-endian   5..  HealthCheckRequest{1: service}
 */

#define GRPC_PREFIX      5
#define GRPC_SERVICE_MAX 127
#define PROTO_FIELD_TEXT 0x0a /* field 1, bytes */
#define PROTO_FIELD_ENUM 0x08 /* field 1, varint */

enum err grpc_question(struct buf *out, struct bytes service)
{
    if (service.len > GRPC_SERVICE_MAX) {
        return ERR_TOO_BIG;
    }
    size_t message = service.len > 0 ? service.len + 2 : 0;
    enum err e = buf_reserve(out, GRPC_PREFIX + message);
    if (e != OK) {
        return e;
    }
    buf_put(out, BYTES("\0\0\0\0"));
    buf_put_char(out, (char)message);
    if (message > 0) {
        buf_put_char(out, PROTO_FIELD_TEXT);
        buf_put_char(out, (char)service.len);
        buf_put(out, service);
    }
    return OK;
}

bool grpc_serving(struct bytes body, struct reason *why)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    if (body.len < GRPC_PREFIX || body.ptr[0] != 0) {
        reason_set(why, "the answer is no message of gRPC");
        return false;
    }
    struct bytes message = bytes_slice(body, GRPC_PREFIX, body.len);
    /* What is not said is 0. */
    unsigned status = 0;
    if (message.len >= 2 && message.ptr[0] == PROTO_FIELD_ENUM) {
        status = (unsigned char)message.ptr[1];
    }
    if (status >= sizeof names / sizeof names[0]) {
        status = 0;
    }
    reason_set(why, "%s", names[status]);
    return status == 1;
}

/* --- HTTP/2 -------------------------------------------------------------------------------------
 */

#define H2_HEAD        9
#define H2_FRAME_MAX   16384
#define H2_TYPE_PING   6
#define H2_TYPE_GOAWAY 7
#define H2_FLAG_ACK    1

enum err h2_ping(struct buf *out, const char data[H2_PING_LEN])
{
    enum err e = buf_append(out, BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    e = e == OK ? buf_append(out, BYTES("\0\0\0\4\0\0\0\0\0")) : e;
    e = e == OK ? buf_append(out, BYTES("\0\0\10\6\0\0\0\0\0")) : e;
    return e == OK ? buf_append(out, (struct bytes){.ptr = data, .len = H2_PING_LEN}) : e;
}

enum err h2_pinged(struct bytes received, const char data[H2_PING_LEN])
{
    while (received.len >= H2_HEAD) {
        const unsigned char *p = (const unsigned char *)received.ptr;
        size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        if (len > H2_FRAME_MAX || p[3] == H2_TYPE_GOAWAY) {
            return ERR_INVALID;
        }
        if (received.len < H2_HEAD + len) {
            return ERR_NOT_FOUND;
        }
        if (p[3] == H2_TYPE_PING && (p[4] & H2_FLAG_ACK) != 0 && len == H2_PING_LEN &&
            memcmp(p + H2_HEAD, data, H2_PING_LEN) == 0) {
            return OK;
        }
        received = bytes_slice(received, H2_HEAD + len, received.len);
    }
    return ERR_NOT_FOUND;
}
