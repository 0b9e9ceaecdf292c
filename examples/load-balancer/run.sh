#!/bin/sh
# API servers behind HAProxy that come and go: one Herald, one HAProxy, and `herald sync haproxy`
# between them. Three backends are registered, a fourth comes, one is killed, one leaves; how many
# milliseconds each time until HAProxy acts on it, and how many of the requests meanwhile failed.
#
#     sh examples/load-balancer/run.sh [--once]
#
# --once   end after the demonstration (otherwise it serves until Ctrl-C)
#
# Installs (HAProxy too) and builds what is missing, as examples/quickstart.sh does.
set -eu
cd "$(dirname "$0")/../.."
. examples/setup.sh

case ${1:-} in
'' | --once) ;;
-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' examples/load-balancer/run.sh && exit 0 ;;
*) die "unknown argument: $1" ;;
esac

need_build_packages
need_packages haproxy python3
build_herald
exec python3 examples/load-balancer/story.py build/herald "$@"
