#!/bin/sh
# Sets up the clients that Debian does not have: npm packages beside this file, and Debian 11's
# consul and prometheus (Debian 12 builds its own without Consul) in $1/bin. Nothing outside these
# two places changes: bullseye is read through lists of its own, so that no other package can ever
# come from it, and what is wanted is unpacked, not installed.
set -eu
out=$1
cd "$(dirname "$0")/../.."
. examples/setup.sh

sh tests/lib/consul.sh "$out" prometheus

done=tests/interop/node_modules/.installed
if ! cmp -s tests/interop/package-lock.json $done; then
    (cd tests/interop && npm ci --no-fund --no-audit)
    cp tests/interop/package-lock.json $done
fi
