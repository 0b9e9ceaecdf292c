#!/bin/sh
# Consul's own Go test suite (1.8.7: api/ and api/watch/), unmodified, against our program under the
# name `consul`. Its source is Debian 11's, read through lists of its own and unpacked in a
# directory of ours: nothing of it is installed or kept in this tree. Only the Go compiler is this
# machine's.
#
#     sh tests/suite/run.sh BUILD                what scope.txt calls `in` and `side`, all of it
#     sh tests/suite/run.sh BUILD PATTERN        the tests whose names match (Go's -test.run); all
#                                                they say is kept in the log named at the end
#
# BUILD is a build directory with herald in it (a release one: tests have deadlines). One line per
# test: `ok`, `not ok`, `skip`. build-tests/suite/list.txt is the published list: name, scope, what
# came of it. The first run takes some minutes to compile, later ones only run: about 150 s.
# HERALD_SUITE=DIRECTORY is where source and compiled tests lie (build-tests/suite); engineers of
# one machine may share one.
set -eu
build=${1:?which build directory}
pattern=${2:-}
cd "$(dirname "$0")/../.."
. examples/setup.sh
case $build in
/*) ;;
*) build=$PWD/$build ;;
esac
out=$PWD/build-tests/suite
kept=${HERALD_SUITE:-$out}
mkdir -p "$out" "$kept"

if [ ! -x "$kept/watch.test" ] && ! sh tests/suite/compile.sh "$kept"; then
    say "skip Consul's suite: its source or a Go compiler cannot be had here (see above)"
    exit 0
fi

bin=$out/bin
mkdir -p "$bin"
ln -sf "$build/herald" "$bin/consul"
PATH=$bin:$PATH
export PATH
source=$kept/root/usr/share/gocode/src/github.com/hashicorp/consul
python3 tests/suite/judge.py "$source" "$kept" "$out" "$pattern"
