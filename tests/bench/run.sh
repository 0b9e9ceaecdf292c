#!/bin/sh
# The benchmarks: every figure beside its peer or the bare limit, in one run, medians of five,
# with one table at the end.
#
#     sh tests/bench/run.sh [--quick] [--only NAME[,NAME...]] [--json FILE]
#     sh tests/bench/run.sh flap [OPTION...]    5,000 watchers of a service whose instances flap
#
# Builds a release build of its own (build-release), and gets the peers when they are missing: etcd
# of this release and Consul 1.8.7 of Debian 11, unpacked into build-tests. A peer that cannot be
# had is left out, and said so.
set -u
cd "$(dirname "$0")/../.." || exit 1
. examples/setup.sh

need_build_packages
need_packages python3 dnsperf wrk

out=$PWD/build-tests
mkdir -p "$out/bin"
PATH=$PATH:$out/bin

# Unpacked, not installed: the package would start a server of its own.
if ! command -v etcd >/dev/null; then
    step "fetching etcd (this release's, unpacked into build-tests)"
    missing=etcd-server
    (need_update && cd "$out" && apt-get -q download etcd-server &&
        dpkg-deb -x etcd-server_*.deb etcd-server) >"$out/etcd.log" 2>&1 &&
        ln -sf "$out/etcd-server/usr/bin/etcd" "$out/bin/etcd"
    command -v etcd >/dev/null || say "etcd cannot be had: left out ($out/etcd.log)"
fi
if ! command -v consul >/dev/null; then
    step "fetching consul (Debian 11's, unpacked into build-tests)"
    sh tests/lib/consul.sh "$out" >"$out/consul.log" 2>&1
    command -v consul >/dev/null || say "Consul cannot be had: left out ($out/consul.log)"
fi

step "building a release build (build-release)"
[ -f build-release/build.ninja ] ||
    meson setup build-release --buildtype=release >/dev/null || die "meson refused build-release"
log=build-release/bench-build.log
ninja -C build-release herald bench >"$log" 2>&1 || {
    tail -n 30 "$log"
    die "the build failed; the whole story is in $log"
}
if [ "${1:-}" = flap ]; then
    shift
    exec python3 tests/bench/flap.py --herald build-release/herald "$@"
fi
exec python3 tests/bench/run.py "$@"
