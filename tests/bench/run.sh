#!/bin/sh
# The benchmarks: every figure beside its peer or the bare limit, in one run, medians of five,
# with one table at the end.
#
#     sh tests/bench/run.sh [--quick] [--only NAME[,NAME...]] [--json FILE]
#
# Builds a release build of its own (build-release), and installs the peers when they are missing:
# etcd of this release, Consul 1.8.7 of Debian 11's suite (pinned low: nothing else comes from
# there). A peer that cannot be had is left out, and said so.
set -u
cd "$(dirname "$0")/../.." || exit 1
. examples/setup.sh

need_build_packages
need_packages python3

# Debian 12 has no Consul; the suite before it has. Only this one package may come from it.
add_consul() {
    source=$(mktemp) pin=$(mktemp)
    list=/etc/apt/sources.list.d/herald-bullseye.sources
    printf 'Package: *\nPin: release n=bullseye\nPin-Priority: 1\n' >"$pin"
    debian_source bullseye >"$source" || return 1
    grep -q '^Types:' "$source" || list=${list%.sources}.list
    as_root install -m 644 "$pin" /etc/apt/preferences.d/herald-bullseye &&
        as_root install -m 644 "$source" "$list" || return 1
    rm -f "$source" "$pin"
    apt_update || {
        as_root rm -f "$list"
        return 1
    }
    (apt_install -t bullseye consul)
}

missing="consul, etcd-server"
command -v etcd >/dev/null || (need_packages etcd-server) || say "etcd cannot be had: left out"
command -v consul >/dev/null || {
    step "installing: consul (of Debian 11, pinned low)"
    add_consul || say "Consul cannot be had: left out"
}

step "building a release build (build-release)"
[ -f build-release/build.ninja ] ||
    meson setup build-release --buildtype=release >/dev/null || die "meson refused build-release"
log=build-release/bench-build.log
ninja -C build-release herald bench >"$log" 2>&1 || {
    tail -n 30 "$log"
    die "the build failed; the whole story is in $log"
}
exec python3 tests/bench/run.py "$@"
