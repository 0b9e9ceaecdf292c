#!/bin/sh
# Debian 11's source of consul 1.8.7 and of what it needs, unpacked in $1/root, and the two test
# programs made of it: $1/api.test, $1/watch.test. No network but the machine's own apt mirror, no
# Go modules. Fails, having said why, where bullseye or a Go compiler cannot be had.
set -eu
out=$1
cd "$(dirname "$0")/../.."
. examples/setup.sh

command -v go >/dev/null || {
    say "there is no Go compiler (package golang-go)"
    exit 1
}

apt=$out/apt
mkdir -p "$apt/sources.list.d" "$apt/lists/partial" "$apt/archives/partial"
if ! debian_source bullseye >"$apt/found"; then
    say "no apt source of this machine to read Debian 11's consul through"
    exit 1
fi
kind=list
grep -q '^Types:' "$apt/found" && kind=sources
mv "$apt/found" "$apt/sources.list.d/bullseye.$kind"
# No package counts as installed: so all that is needed comes from one suite and fits together.
: >"$apt/status"
private() {
    apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/sources.list.d" \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status" \
        -o Dir::Cache="$apt" -o APT::Sandbox::User="$(id -un)" \
        -o APT::Update::Error-Mode=any "$@"
}
prefix=golang-github
wanted="$prefix-hashicorp-consul-dev $prefix-mitchellh-go-testing-interface-dev
    $prefix-stretchr-testify-dev $prefix-pkg-errors-dev $prefix-hashicorp-go-uuid-dev
    $prefix-hashicorp-go-cleanhttp-dev $prefix-hashicorp-serf-dev"
private update >"$apt/log" 2>&1 || {
    tail -n 3 "$apt/log"
    say "the mirror has no Debian 11 any more"
    exit 1
}
# shellcheck disable=SC2086 # lists of words
names=$(private install -s --no-install-recommends $wanted |
    sed -n 's/^Inst \(golang-[^ ]*-dev\) .*/\1/p')
[ -n "$names" ]
# shellcheck disable=SC2086
(cd "$apt/archives" && private download $names >"$apt/log" 2>&1) || {
    tail -n 3 "$apt/log"
    exit 1
}
mkdir -p "$out/root"
for package in "$apt"/archives/*.deb; do
    dpkg-deb -x "$package" "$out/root"
done

export GO111MODULE=off GOPATH="$out/root/usr/share/gocode" CGO_ENABLED=0 GOFLAGS=-vet=off
export GOCACHE="$out/cache"
go test -c -o "$out/api.test" github.com/hashicorp/consul/api
go test -c -o "$out/watch.test.new" github.com/hashicorp/consul/api/watch
mv "$out/watch.test.new" "$out/watch.test"
rm -rf "$out/cache" "$apt"
