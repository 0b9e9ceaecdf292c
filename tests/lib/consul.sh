#!/bin/sh
# Debian 11's own consul 1.8.7 as $1/bin/consul, for the tests that speak to it; after $1 the names
# of other programs of Debian 11 that are in packages of the same name. Nothing outside $1 changes:
# bullseye is read through lists of its own, so that no other package can ever come from it, and
# what is wanted is unpacked, not installed. Where it cannot be had, that is said, and no failure.
set -eu
out=$1
shift
cd "$(dirname "$0")/../.."
. examples/setup.sh

mkdir -p "$out/bin"
missing=
for program in consul "$@"; do
    [ -x "$out/bin/$program" ] || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
apt=$out/apt
mkdir -p "$apt/sources.list.d" "$apt/lists/partial" "$apt/archives/partial"
if ! debian_source bullseye >"$apt/found"; then
    say "no apt source of this machine to read Debian 11's packages through:$missing"
    exit 0
fi
kind=list
grep -q '^Types:' "$apt/found" && kind=sources
mv "$apt/found" "$apt/sources.list.d/bullseye.$kind"
private() {
    apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/sources.list.d" \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt" -o APT::Sandbox::User="$(id -un)" \
        -o APT::Update::Error-Mode=any "$@"
}
if ! private update; then
    say "the mirror has no Debian 11 any more: skipped are$missing"
    exit 0
fi
for program in $missing; do
    if (cd "$apt" && private download "$program/bullseye"); then
        dpkg-deb -x "$apt/$program"_*.deb "$apt/root"
        ln -sf "$apt/root/usr/bin/$program" "$out/bin/$program"
        "$out/bin/$program" --version
    else
        say "Debian 11's $program cannot be had: skipped"
    fi
done
