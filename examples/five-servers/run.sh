#!/bin/sh
# Five servers on this machine that are one cluster: two are killed, writes go on; they come back;
# one is lost for good and another takes its place. At each step the two lists of servers.
#
#     sh examples/five-servers/run.sh [--once] [--network N]
#
# --once       end after the demonstration (otherwise the cluster serves until Ctrl-C)
# --network N  the addresses 127.0.N.1 to 127.0.N.6 (otherwise a free N)
#
# Installs and builds what is missing, as examples/quickstart.sh does. All servers have the same
# configuration, examples/five-servers/server.json; what differs is said on the command line.
set -eu
cd "$(dirname "$0")/../.."
. examples/setup.sh

usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' examples/five-servers/run.sh
}

once=no network=''
while [ $# -gt 0 ]; do
    case $1 in
    --once) once=yes ;;
    --network) network=${2:?--network needs a number} && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && die "unknown argument: $1" ;;
    esac
    shift
done

scratch=''
# One process id per server, in a file: $scratch/3.pid.
pid_of() {
    cat "$scratch/$1.pid" 2>/dev/null || echo none
}

cleanup() {
    trap - EXIT INT TERM HUP
    [ -n "$scratch" ] || return 0
    # All are told to leave at once: the voters become fewer one at a time, and the last ones end
    # without asking anybody.
    for n in 1 2 3 4 5 6; do
        kill -TERM "$(pid_of $n)" 2>/dev/null || true
    done
    tries=0
    for n in 1 2 3 4 5 6; do
        while kill -0 "$(pid_of $n)" 2>/dev/null && [ $tries -lt 600 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
        kill -KILL "$(pid_of $n)" 2>/dev/null || true
    done
    wait
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'echo; step "stopping"; exit 130' INT
trap 'exit 143' TERM HUP

need_build_packages
build_herald

scratch=$(mktemp -d "${TMPDIR:-/tmp}/herald-five-servers.XXXXXX")

# Prints an N such that nobody listens on 127.0.N.1 to .6; $1 if it is one.
free_network() {
    python3 - "$1" <<'END'
import random, socket, sys
def free(n):
    for host in range(1, 7):
        for port in (8300, 8301, 8500):
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.%d.%d" % (n, host), port))
                except OSError:
                    return False
    return True
wanted = [int(sys.argv[1])] if sys.argv[1] else random.sample(range(2, 250), 50)
print(next((n for n in wanted if free(n)), ""))
END
}
wanted=$network
network=$(free_network "$wanted")
[ -n "$network" ] || die "no free addresses${wanted:+ in 127.0.$wanted.0/24}; choose another --network"

# --- what is done to servers -----------------------------------------------------------------

address() {
    echo "127.0.$network.$1"
}

# Each server knows two of the others: enough for all to find all.
start() {
    build/herald agent -config-file=examples/five-servers/server.json -node="server-$1" \
        -bind="$(address "$1")" -client="$(address "$1")" -data-dir="$scratch/data-$1" \
        -retry-join="$(address 1)" -retry-join="$(address 2)" >>"$scratch/server-$1.log" 2>&1 &
    echo $! >"$scratch/$1.pid"
}

kill_hard() {
    kill -KILL "$(pid_of "$1")"
    wait "$(pid_of "$1")" 2>/dev/null || true
}

# Waits until `$@` succeeds; $waiting_for says for what.
eventually() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        if [ $tries -gt 1200 ]; then
            tail -n 8 "$scratch"/*.log >&2
            die "waited in vain for $waiting_for; the last words of all are above"
        fi
        sleep 0.05
    done
}

herald_at() {
    at=$1
    shift
    HERALD_HTTP_ADDR="$(address "$at"):8500" build/herald "$@"
}

# write SERVER KEY VALUE
write() {
    [ "$(curl -fs -m 2 -X PUT -d "$3" "http://$(address "$1"):8500/v1/kv/$2" 2>/dev/null)" = true ]
}

# Server $1 itself has value $3 at key $2, whatever the leader says.
has() {
    [ "$(curl -fs -m 2 "http://$(address "$1"):8500/v1/kv/$2?raw&stale" 2>/dev/null)" = "$3" ]
}

# voters SERVER COUNT: the voters as SERVER knows them.
voters() {
    [ "$(herald_at "$1" operator raft list-peers 2>/dev/null | grep -c ' true ')" = "$2" ]
}

# members_are SERVER COUNT STATUS
members_are() {
    [ "$(herald_at "$1" members 2>/dev/null | grep -c " $3 ")" = "$2" ]
}

milliseconds() {
    echo $(($(date +%s%N) / 1000000))
}

# Both lists, as server $1 knows them.
lists() {
    say "    ${bold}members${plain} (gossip: who is there)"
    herald_at "$1" members | cut -c 1-60 | sed 's/^/    /'
    say "    ${bold}operator raft list-peers${plain} (the log: who decides)"
    herald_at "$1" operator raft list-peers | sed 's/^/    /'
}

# --- the story -------------------------------------------------------------------------------

step "five servers, each with $(cat examples/five-servers/server.json)"
for n in 1 2 3 4 5; do
    start $n
done
waiting_for="a cluster of five"
eventually voters 1 5
eventually members_are 1 5 alive
lists 1
say "    The lists agree: all five gossip, and since all five were there (bootstrap_expect),
    they founded a cluster, in which each has a vote."

step "a write to server-5 can be read on all, whoever leads"
waiting_for="an acknowledged write"
eventually write 5 config/workers 10
waiting_for="the write on every server"
for n in 1 2 3 4 5; do
    eventually has $n config/workers 10
done

step "kill -9 of server-1 and server-2: three of five are left, a majority"
kill_hard 1 && kill_hard 2
killed=$(milliseconds)
waiting_for="an acknowledged write without two servers"
eventually write 3 config/workers 20
say "    a write was acknowledged ${bold}$(($(milliseconds) - killed)) ms${plain} after the kill"
waiting_for="gossip to notice"
eventually members_are 3 2 failed
lists 3
say "    The lists differ, and should. members says who answers: two do not. list-peers says who has
    a vote: the dead keep theirs until there is somebody in their place, so that what was
    acknowledged by three of five stays known to a majority, whoever comes back. It takes
    three of five to write; with one more lost, writes would wait for one to come back."

step "they come back with their data"
start 1
start 2
waiting_for="all five alive again"
eventually members_are 3 5 alive
waiting_for="what they missed"
eventually has 1 config/workers 20
eventually has 2 config/workers 20
lists 3
say "    Each was known by its id, got what it had missed, and has its vote as before."

step "server-4 is lost for good, disk and all; server-6 takes its place"
herald_at 3 operator autopilot set-config -server-stabilization-time=1s >/dev/null
say "    (server-stabilization-time is 1s for this; a newcomer is watched for 10s otherwise)"
kill_hard 4
rm -rf "$scratch/data-4"
start 6
waiting_for="server-6 among the voters, server-4 gone"
replaced() {
    voters 3 5 && herald_at 3 operator raft list-peers 2>/dev/null | grep -q "^server-6 .* true" &&
        ! herald_at 3 operator raft list-peers 2>/dev/null | grep -q "$(address 4):"
}
eventually replaced
waiting_for="server-6 to have what was written before it came"
eventually has 6 config/workers 20
waiting_for="gossip to notice"
eventually members_are 3 1 failed
lists 3
say "    They differ once more: the leader took the dead server's vote away (autopilot), because
    the newcomer made five again. members remembers server-4 as failed, so that it could be
    reached again, for 72 hours (reconnect_timeout) or until:"
say "        herald force-leave -prune server-4"
herald_at 3 force-leave -prune server-4 >/dev/null
waiting_for="server-4 to be forgotten"
forgotten() {
    ! herald_at 3 members 2>/dev/null | grep -q '^server-4 '
}
eventually forgotten
waiting_for="an acknowledged write in the end"
eventually write 6 config/workers 30

[ $once = no ] || {
    step "done (--once)"
    exit 0
}
cat <<END

${bold}Try next, in another terminal:${plain}
    build/herald operator raft list-peers -http-addr=$(address 3):8500
    curl -i 'http://$(address 6):8500/v1/kv/config/workers?consistent'
    build/herald watch -http-addr=$(address 2):8500 -type=key -key=config/workers cat
    kill $(pid_of 5)      # leave_on_terminate: server-5 gives its vote back and leaves

Serving until Ctrl-C.
END
while :; do
    sleep 3600 &
    wait $! || true
done
