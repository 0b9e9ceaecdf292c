#!/bin/sh
# Herald in one command: installs what is needed (Debian 12 or newer), builds, starts a server,
# imports the configuration of a fleet, and shows three subscribers receive a change.
#
#     sh examples/quickstart.sh [--once] [--port N] [--data-dir DIR]
#
# --once      end after the demonstration (otherwise it serves until Ctrl-C)
# --port N    the HTTP port (otherwise 8500, or a free one)
# --data-dir  keep the data there (otherwise in a temporary directory that goes away at the end)
set -eu
cd "$(dirname "$0")/.."
. examples/setup.sh

usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' examples/quickstart.sh
}

once=no port='' data=''
while [ $# -gt 0 ]; do
    case $1 in
    --once) once=yes ;;
    --port) port=${2:?--port needs a number} && shift ;;
    --data-dir) data=${2:?--data-dir needs a directory} && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && die "unknown argument: $1" ;;
    esac
    shift
done

scratch='' server='' clients=''
cleanup() {
    trap - EXIT INT TERM HUP
    for process in $clients $server; do
        kill "$process" 2>/dev/null || true
    done
    # The server ends by itself: subscribers get their bye, nothing acknowledged is lost.
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    [ -z "$scratch" ] || rm -rf "$scratch"
}
trap cleanup EXIT
trap 'echo; step "stopping"; exit 130' INT
trap 'exit 143' TERM HUP

need_build_packages
build_herald

scratch=$(mktemp -d "${TMPDIR:-/tmp}/herald-quickstart.XXXXXX")
[ -n "$data" ] || data=$scratch/data
mkdir -p "$data"

# Prints the first port that nobody listens on: the one asked for or 8500; else any.
free_port() {
    python3 - "$1" <<'END'
import socket, sys
for port in (int(sys.argv[1] or 8500), 0):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            print(s.getsockname()[1])
            break
        except OSError:
            if sys.argv[1]:
                sys.exit("port %s is taken" % sys.argv[1])
END
}

port=$(free_port "$port") || die "choose another --port"
at=127.0.0.1:$port
step "starting a server on $at, data in $data"
build/herald agent -server -bootstrap -bind=127.0.0.1 -data-dir="$data" -http-port="$port" \
    >"$scratch/server.log" 2>&1 &
server=$!

# Waits until `$@` succeeds; $waiting_for says for what.
eventually() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
            tail -n 15 "$scratch"/*.log "$scratch"/*.err >&2 || true
            die "waited in vain for $waiting_for; the last words of all are above"
        fi
        sleep 0.05
    done
}

has_leader() {
    curl -fs "http://$at/v1/status/leader" 2>/dev/null | grep -q ':'
}
waiting_for="a server that answers"
eventually has_leader

step "importing examples/fleet.json"
build/herald kv import -http-addr="$at" @examples/fleet.json >"$scratch/import.log" 2>&1 || {
    tail -n 5 "$scratch/import.log" >&2
    die "the import failed"
}
keys=$(curl -fs "http://$at/v1/kv/?keys" | tr ',' '\n' | grep -c .)
say "    $keys keys: settings, feature flags, limits, backends of ten services"

key=features/production/checkout.express_pay
value='{"enabled": true, "owner": "payments", "percent": 50}'
step "three subscribers wait for features/production/, each in its own way"
for way in blocking websocket sse; do
    python3 examples/subscribe.py "$way" "$at" features/production/ --count 1 --stamp \
        >"$scratch/$way" 2>"$scratch/$way.err" &
    clients="$clients $!"
done
all_have() {
    for way in blocking websocket sse; do
        grep -q "$1" "$scratch/$way" || return 1
    done
}
waiting_for="three subscriptions"
eventually all_have '^ready'

step "writing $key"
say "    $value"
sent=$(python3 examples/put.py "$at" "$key" "$value")
waiting_for="the change at each subscriber"
eventually all_have ' set '
for way in blocking websocket sse; do
    got=$(sed -n 's/ set .*//p' "$scratch/$way")
    micros=$(((got - sent) / 1000))
    case $way in
    blocking) name="blocking query" ;;
    websocket) name="WebSocket" ;;
    sse) name="Server-Sent Events" ;;
    esac
    printf '    %-20s received it %s%d.%d ms%s after the write was sent\n' "$name" "$bold" \
        $((micros / 1000)) $((micros % 1000 / 100)) "$plain"
done
clients=''

[ $once = no ] || {
    step "done (--once)"
    exit 0
}

cat <<END

${bold}Try next, in another terminal:${plain}
    curl -N 'http://$at/v1/stream?topic=kv&prefix=config/&format=ndjson'
    curl -X PUT -d debug http://$at/v1/kv/config/production/checkout/log/level
    curl 'http://$at/v1/kv/features/production/?recurse&pretty'
    curl 'http://$at/v1/kv/config/production/checkout/log/level?history&pretty'
    python3 examples/subscribe.py websocket $at config/
    build/herald kv get -http-addr=$at config/production/checkout/log/level
    build/herald stream -http-addr=$at -prefix=config/

Serving on $at until Ctrl-C.
END
wait "$server"
tail -n 15 "$scratch/server.log" >&2
die "the server ended by itself; its last words are above"
