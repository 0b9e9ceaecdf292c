#!/bin/sh
# All tests, or some kinds of them; ends with one line `N passed, N failed`.
#
#     sh tests/run.sh                    everything but the benchmarks
#     sh tests/run.sh KIND [ARGUMENT]    one kind alone:
#
# tidy           the rules no compiler holds, clang-format, clang-tidy
# unit [NAME]    unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
# contract       the KV contract and the wake-up matrix against a real server
# swim [SEED]    membership: 128 simulated nodes, beside plain SWIM (a short run; `all` for the long)
# stream         validators of the change stream over random workloads
# bad-input      hostile and broken clients, broken data directories
# kill [ROUNDS]  kill -9 under load (200 rounds, about 2 minutes)
# cluster [SEED SECONDS] real servers in namespaces under faults; with a seed a campaign of all
#                mixes, so many seconds each, whose totals are appended to tests/cluster/ledger.txt
# suite [PATTERN] Consul's own Go tests, unmodified (tests/suite/run.sh says how), or some of them
# interop        curl, npm packages, Chromium and Debian's consul as clients
# fuzz [SECONDS] each fuzzer for so long (10)
# tsan           unit tests and a server under ThreadSanitizer
# quickstart     the README's first command, twice
# five-servers   the README's cluster: two killed, back again, one replaced
# load-balancer  HAProxy and `herald sync haproxy`: backends come, go and die
# recovery [N]   what the README tells operators to do at night, case by case; N (8) flipped bits
# sim [SEED COUNT [OPTION...]]  schedules of the simulator (3,000 from today's seed, which do not go
#                into the ledger tests/sim/ledger.txt; others do); --verbose tells the story
# bench [OPTION...] benchmarks beside their peers (not part of everything); --quick, --only NAME
set -u
cd "$(dirname "$0")/.." || exit 1
. examples/setup.sh

out=$PWD/build-tests
mkdir -p "$out"
export PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS="abort_on_error=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp:halt_on_error=1:${TSAN_OPTIONS:-}"

# A build directory of its own for each purpose; configured once, brought up to date each time.
# need_build NAME TARGET... ; says what the compiler said when it fails.
need_build() {
    name=$1
    shift
    case $name in
    build) set -- --buildtype=release -- "$@" ;;
    build-asan) set -- -Db_sanitize=address,undefined -Db_lundef=false -- "$@" ;;
    build-tsan) set -- -Db_sanitize=thread -Db_lundef=false -- "$@" ;;
    build-clang)
        set -- -Db_sanitize=address,undefined -Db_lundef=false \
            -Dc_args=-fsanitize=fuzzer-no-link -- "$@"
        export CC=clang
        ;;
    esac
    options=
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    shift
    # Configured for something else by an older version of this script: anew.
    [ "$name" = build ] || [ "$(cat "$out/$name.options" 2>/dev/null)" = "$options" ] || rm -rf "$name"
    echo "$options" >"$out/$name.options"
    # shellcheck disable=SC2086 # a list of words
    [ -f "$name/build.ninja" ] || meson setup "$name" $options >"$out/$name.log" 2>&1 &&
        ninja -k 0 -C "$name" "$@" >"$out/$name.log" 2>&1 || {
        unset CC
        grep -E '^FAILED|error: |ERROR: |warning: |undefined' "$out/$name.log" |
            head -n 40 | cut -c 1-300 | sed 's/^/# /'
        echo "not ok build of $name"
        return 1
    }
    unset CC
}

# Runs scripts one after another against the server of build directory $1.
# scripts BUILD SECONDS SCRIPT [ARGUMENT...]
script() {
    build=$1 seconds=$2
    shift 2
    HERALD=$PWD/$build/herald timeout "$seconds" python3 "$@"
    code=$?
    [ $code -ne 124 ] || echo "not ok $1 ended within $seconds s"
    return $code
}

scripts() {
    pattern=$1
    shift
    worst=0
    for file in $pattern; do
        script "$@" "$file" || worst=$?
    done
    return $worst
}

kind_tidy() {
    need_build build-clang || return
    python3 tests/tidy.py build-clang
}

kind_unit() {
    need_build build-asan || return
    # shellcheck disable=SC2086 # no name: all
    python3 tests/lib/unit.py build-asan $1
}

# A number is a seed for the short run; `all` the long one, as before a release.
kind_swim() {
    need_build build tests/sim/swim_sim || return
    case ${1:-} in
    all) timeout 3600 build/tests/sim/swim_sim ;;
    *) timeout 120 build/tests/sim/swim_sim --quick "${1:-1}" ;;
    esac
}

kind_contract() {
    need_build build-asan herald || return
    scripts 'tests/process/agent.py tests/process/client.py tests/process/cloud.py
        tests/process/kv_contract.py tests/process/catalog.py tests/process/reconcile.py
        tests/process/snapshot.py tests/process/start.py tests/process/wan.py
        tests/process/acl.py tests/process/wakeup_matrix.py tests/process/dns.py tests/process/client_dns.py
        tests/process/sessions.py
        tests/cluster/doors.py' build-asan 300
}

kind_stream() {
    need_build build-asan herald || return
    scripts 'tests/stream/*.py' build-asan 300
}

kind_bad_input() {
    need_build build-asan herald || return
    scripts 'tests/process/bad_*.py' build-asan 600
}

kind_kill() {
    need_build build herald || return
    script build 1800 tests/process/kill.py "${1:-200}"
}

kind_cluster() {
    need_build build herald tests/sim/linearize || return
    if [ -n "${1:-}" ]; then
        mixes=kill,pause,process,partition,one-way,network,clock,full,power,disk,flip,members
        mixes=$mixes,snapshot,all
        script build 86400 tests/cluster/fire.py "$1" "${2:-120}" --servers 3,5 --ledger \
            --verbose --fault $mixes,everything
    else
        script build 600 tests/cluster/fire.py --ci || return
        script build 300 tests/cluster/locks.py
    fi
}

kind_interop() {
    need_build build-asan herald || return
    sh tests/interop/setup.sh "$out" >"$out/interop-setup.log" 2>&1 || {
        tail -n 20 "$out/interop-setup.log" | sed 's/^/# /'
        echo "not ok setting up the clients"
    }
    PATH="$out/bin:$PATH" scripts 'tests/interop/*.py' build-asan 300
}

kind_suite() {
    need_build build herald || return
    sh tests/suite/run.sh build "${1:-}"
}

kind_fuzz() {
    targets=$(sed -n "s/^  \['\([a-z0-9_]*\)',.*/fuzz_\1/p" tests/fuzz/meson.build)
    # shellcheck disable=SC2046,SC2086 # lists of words
    need_build build-clang $(printf 'tests/fuzz/%s ' $targets) || return
    for target in $targets; do
        corpus=build-clang/corpus/$target seeds=tests/fuzz/corpus/${target#fuzz_}
        mkdir -p "$corpus"
        [ -d "$seeds" ] || seeds=
        # shellcheck disable=SC2086 # no seeds: no argument
        if ./build-clang/tests/fuzz/"$target" -max_total_time="${1:-10}" -timeout=10 \
            -rss_limit_mb=2048 -artifact_prefix=build-clang/crash-$target- -verbosity=0 \
            -print_final_stats=1 "$corpus" $seeds >"$out/$target.log" 2>&1; then
            echo "ok $target $(sed -n 's/^stat::number_of_executed_units: */runs: /p' \
                "$out/$target.log")"
        else
            tail -n 60 "$out/$target.log" | sed 's/^/# /'
            echo "not ok $target"
        fi
    done
}

kind_tsan() {
    # Where threads meet: loops, mailboxes, readers, the store's threads, sockets between them.
    threads="loop log front front_limits websocket stream_random store cluster cluster_faults"
    threads="$threads transport gossip recover"
    # shellcheck disable=SC2046 # a list of words
    need_build build-tsan herald $(printf 'tests/unit/test_%s ' $threads) || return
    # shellcheck disable=SC2046
    python3 tests/lib/unit.py build-tsan $(printf '=test_%s ' $threads)
    HERALD_TEST_SLOW=4 scripts 'tests/process/wakeup_matrix.py' build-tsan 300
}

# One argument, a list of words: what a campaign by hand says.
kind_sim() {
    need_build build tests/sim/sim || return
    # shellcheck disable=SC2086 # a list of words
    set -- ${1:-$(date +%Y%m%d)0000 3000}
    said=$out/sim-said
    ./build/tests/sim/sim "$@" >"$said" 2>&1
    code=$?
    sed '/^not ok/!s/^/# /' "$said"
    [ $code -ne 0 ] || echo "ok $(tail -n 1 "$said")"
    case "$*" in
    *" --"*) return $code ;;
    esac
    # And the simulator itself: it convicts every bug that was put in.
    ./build/tests/sim/sim prove >"$said" 2>&1
    proof=$?
    sed -E '/^(not )?ok /!s/^/# /' "$said"
    [ $code -eq 0 ] || return $code
    return $proof
}

# A campaign: what it did goes into the ledger.
sim_campaign() {
    need_build build tests/sim/sim || return
    ./build/tests/sim/sim "$@" >"$out/sim-said" 2>&1
    code=$?
    cat "$out/sim-said"
    totals=$(tail -n 1 "$out/sim-said")
    case "$totals" in
    *schedules*)
        echo "$(date -u +%Y-%m-%d) $(git rev-parse --short HEAD) sim $*: $totals" \
            >>tests/sim/ledger.txt
        ;;
    esac
    return $code
}

kind_quickstart() {
    for round in first second; do
        if timeout 900 sh examples/quickstart.sh --once >"$out/quickstart-$round" 2>&1; then
            echo "ok the $round run of the quick start"
        else
            sed 's/^/# /' "$out/quickstart-$round"
            echo "not ok the $round run of the quick start"
        fi
    done
}

kind_five_servers() {
    if timeout 900 sh examples/five-servers/run.sh --once >"$out/five-servers.said" 2>&1; then
        echo "ok five servers"
    else
        sed 's/^/# /' "$out/five-servers.said"
        echo "not ok five servers"
    fi
}

kind_load_balancer() {
    if timeout 900 sh examples/load-balancer/run.sh --once >"$out/load-balancer.said" 2>&1; then
        echo "ok load balancer"
    else
        sed 's/^/# /' "$out/load-balancer.said"
        echo "not ok load balancer"
    fi
}

kind_recovery() {
    need_build build herald || return
    script build 900 tests/cluster/steps.py
    steps=$?
    script build 3600 tests/cluster/flips.py "${1:-8}" || return
    return $steps
}

# Prints failures as they come, with what was said since the test before, and counts at the end.
follow() {
    awk -v name="$1" -v counts="$2" -v red="$red" -v plain="$plain" '
        /^ok / { passed++; held = 0; next }
        /^skip / { skipped++; held = 0; print "    " $0; fflush(); next }
        /^not ok / {
            failed++
            for (i = held > 60 ? held - 60 : 0; i < held; i++) print "    " text[i]
            print "    " red $0 plain
            fflush()
            held = 0
            next
        }
        { text[held++] = $0 }
        END {
            print name, passed + 0, failed + 0, skipped + 0, held + 0 >counts
            for (i = held > 60 ? held - 60 : 0; i < held; i++) last = last "    " text[i] "\n"
            printf "%s", last >(counts ".rest")
        }'
}

passed=0 failed=0 skipped=0
run_kind() {
    kind=$1 argument=${2:-} second=${3:-}
    step "$kind $argument $second"
    began=$(date +%s)
    rm -f "$out/status"
    {
        "kind_$(echo "$kind" | tr - _)" "$argument" "$second" 2>&1
        echo $? >"$out/status"
    } | tee "$out/$kind.log" | follow "$kind" "$out/counts"
    read -r _ p f s _ <"$out/counts"
    if [ "$(cat "$out/status")" != 0 ] && [ "$f" = 0 ] || [ $((p + f + s)) = 0 ]; then
        cat "$out/counts.rest"
        say "    ${red}not ok $kind as a whole$plain (exit code $(cat "$out/status"))"
        f=$((f + 1))
    fi
    say "    $p passed, $f failed, $s skipped, $(($(date +%s) - began)) s"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

packages_of() {
    case $1 in
    tidy) echo git python3 clang clang-format clang-tidy libclang-rt-dev libcriterion-dev ;;
    unit | tsan) echo python3 libcriterion-dev ;;
    fuzz) echo clang libclang-rt-dev libcriterion-dev ;;
    contract) echo python3 bind9-dnsutils ;;
    stream | bad-input | kill | recovery) echo python3 ;;
    cluster) echo python3 iproute2 nftables e2fsprogs mount faketime ;;
    suite) echo python3 golang-go ;;
    interop)
        echo python3 chromium haproxy nginx-light python3-consul patroni postgresql
        command -v node >/dev/null || echo nodejs
        command -v npm >/dev/null || echo npm
        ;;
    esac
}

kinds="tidy unit sim swim contract stream bad-input kill cluster recovery interop suite fuzz tsan"
kinds="$kinds quickstart five-servers load-balancer"
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' tests/run.sh
    exit 0
    ;;
esac
for kind in ${1:-$kinds}; do
    case " $kinds bench " in
    *" $kind "*) ;;
    *) die "there is no kind of test called $kind; sh tests/run.sh --help lists them" ;;
    esac
done

# Benchmarks measure and print a table: nothing of it is counted as passed or failed.
if [ "${1:-}" = bench ]; then
    shift
    exec sh tests/bench/run.sh "$@"
fi

if [ "${1:-}" = sim ] && [ $# -ge 3 ]; then
    shift
    need_build_packages
    case " $* " in
    *" --verbose "*) kind_sim "$*" ;;
    *) sim_campaign "$@" ;;
    esac
    exit
fi

began_all=$(date +%s)
need_build_packages
# shellcheck disable=SC2046 # a list of words
need_packages $(for kind in ${1:-$kinds}; do packages_of "$kind"; done | tr ' ' '\n' | sort -u)
if [ $# -gt 0 ]; then
    run_kind "$1" "${2:-}" "${3:-}"
else
    for kind in $kinds; do
        run_kind "$kind"
    done
fi
step "$(($(date +%s) - began_all)) s in all; what each kind said is in build-tests/"
say "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $((passed + skipped)) -gt 0 ]
