# Installs what Herald needs on Debian 12 or newer. Read by quickstart.sh and tests/run.sh:
#
#     . examples/setup.sh
#     need_build_packages                 what the build needs, libraft of a safe version included
#     need_packages PACKAGE...            whatever else; needs root only if something is missing
#     debian_source SUITE >FILE           the machine's own mirror, as apt source of another suite
#
# No mirror is named here: whatever the machine's apt sources use serves the further suites too.

build_packages="gcc libc6-dev meson ninja-build pkg-config libevent-dev libwebsockets-dev
    libwebsockets-evlib-uv libuv1-dev libjansson-dev libcurl4-openssl-dev libknot-dev
    librocksdb-dev libssl-dev zlib1g-dev curl"
# The first libraft that does not lose acknowledged writes; Debian 12 itself ships 0.15.0.
raft_version_min=0.22.1

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
else
    bold='' red='' plain=''
fi

say() {
    printf '%s\n' "$*"
}

step() {
    printf '%s==>%s %s\n' "$bold" "$plain" "$*"
}

die() {
    printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo: run it as root once, or install by hand:" \
            "$missing"
    fi
}

need_debian() {
    command -v apt-get >/dev/null ||
        die "this script knows Debian 12 and newer only. Elsewhere install a C compiler," \
            "meson, ninja, libevent, libwebsockets (with its libuv plugin), libuv, jansson," \
            "RocksDB, OpenSSL, zlib and libraft $raft_version_min (the cowsql fork), then:" \
            "meson setup build && meson compile -C build"
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_update() {
    as_root apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any update \
        >"${TMPDIR:-/tmp}/herald-apt.$$" 2>&1 || {
        tail -n 5 "${TMPDIR:-/tmp}/herald-apt.$$" >&2
        rm -f "${TMPDIR:-/tmp}/herald-apt.$$"
        return 1
    }
    rm -f "${TMPDIR:-/tmp}/herald-apt.$$"
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes \
        apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install -y --no-install-recommends "$@" >/dev/null ||
        die "apt-get could not install: $*. Its own words are above; without a network, or" \
            "without these packages on the mirror, install them by hand and try again."
}

apt_updated=no
need_update() {
    [ $apt_updated = yes ] && return
    as_root true
    step "refreshing the package lists"
    apt_update || die "apt-get update failed (its last lines are above): is there a network?"
    apt_updated=yes
}

need_packages() {
    need_debian
    missing=
    for package in "$@"; do
        installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    need_update
    step "installing:$missing"
    # shellcheck disable=SC2086 # a list of words
    apt_install $missing
}

# Prints the apt source that serves this release's main, rewritten for suite $1: the whole stanza
# (deb822) or line (one-line form), so that its mirror, key and options stay as they are.
debian_source() {
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$release" ] || return 1
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -r "$file" ] || continue
        awk -v release="$release" -v suite="$1" '
            function flush(    i, n, words, fits) {
                n = split(suites, words, /[ \t]+/)
                for (i = 1; i <= n; i++) fits = fits || words[i] == release
                if (fits && binary && !off && !done) {
                    printf "Types: deb\nSuites: %s\nComponents: main\n%s", suite, kept
                    done = 1
                }
                kept = suites = ""; binary = off = 0
            }
            /^#/ { next }
            /^[ \t]*$/ { flush(); next }
            /^[^ \t]/ { field = tolower($1); sub(/:.*/, "", field) }
            { value = $0; sub(/^[^ \t:]*:/, "", value) }
            field == "types" { binary = value ~ /(^|[ \t])deb([ \t]|$)/; next }
            field == "suites" { suites = suites " " value; next }
            field == "components" { next }
            field == "enabled" { off = tolower(value) ~ /no|false|off/; next }
            { kept = kept $0 "\n" }
            END { flush(); exit !done }' "$file" && return 0
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$file" ] || continue
        awk -v release="$release" -v suite="$1" '
            $1 != "deb" { next }
            {
                options = ""; rest = $0; sub(/^deb[ \t]+/, "", rest)
                if (rest ~ /^\[/) {
                    options = rest; sub(/\].*/, "]", options)
                    sub(/^\[[^]]*\][ \t]*/, "", rest)
                }
                split(rest, words, /[ \t]+/)
                if (words[2] != release || words[1] ~ /^cdrom:/) next
                print "deb", options, words[1], suite, "main"
                done = 1
                exit
            }
            END { exit !done }' "$file" && return 0
    done
    return 1
}

# The newest libraft-dev that apt knows of, whatever its suite.
raft_candidate() {
    apt-cache madison libraft-dev 2>/dev/null | awk -F' *[|] *' '{ print $2 }' |
        while read -r version; do
            dpkg --compare-versions "$version" ge "$raft_version_min" && echo "$version"
        done | head -n 1
}

add_backports() {
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    found=$(mktemp)
    if ! debian_source "$release-backports" >"$found"; then
        rm -f "$found"
        die "no apt source of this machine serves \"$release\", so its backports cannot be found." \
            "Add the suite $release-backports yourself, then: apt-get install -t" \
            "$release-backports libraft-dev"
    fi
    added=/etc/apt/sources.list.d/herald-$release-backports.list
    grep -q '^Types:' "$found" && added=/etc/apt/sources.list.d/herald-$release-backports.sources
    step "adding $release-backports (for libraft) from this machine's own mirror: $added"
    as_root install -m 644 "$found" "$added"
    rm -f "$found"
    if ! apt_update; then
        as_root rm -f "$added"
        die "the mirror of this machine has no $release-backports (taken out again). Herald needs" \
            "libraft $raft_version_min or newer: use a mirror that carries backports."
    fi
}

need_raft() {
    have=$(dpkg-query -W -f '${Version}' libraft-dev 2>/dev/null || true)
    if [ -n "$have" ] && installed libraft-dev &&
        dpkg --compare-versions "$have" ge "$raft_version_min"; then
        return 0
    fi
    missing="libraft-dev ($raft_version_min or newer)"
    candidate=$(raft_candidate)
    if [ -z "$candidate" ]; then
        need_update
        candidate=$(raft_candidate)
    fi
    if [ -z "$candidate" ]; then
        add_backports
        candidate=$(raft_candidate)
    fi
    [ -n "$candidate" ] ||
        die "apt knows no libraft-dev of version $raft_version_min or newer. Debian 12's own" \
            "0.15.0 can lose acknowledged writes and is refused; take it from backports or from a" \
            "newer release."
    step "installing: libraft-dev $candidate"
    # By version, not by suite: nothing but these two comes from backports.
    apt_install "libraft-dev=$candidate" "libraft0=$candidate"
}

need_build_packages() {
    # shellcheck disable=SC2086 # a list of words
    need_packages $build_packages
    need_raft
}

# The program, in build/: optimised, unless the builder already configured it otherwise.
build_herald() {
    if [ ! -f build/build.ninja ]; then
        step "configuring (meson setup build)"
        meson setup build --buildtype=release >build-setup.log 2>&1 || {
            tail -n 20 build-setup.log >&2
            die "meson refused; the whole story is in build-setup.log"
        }
        rm -f build-setup.log
    fi
    step "building build/herald"
    ninja -C build herald >build/compile.log 2>&1 || {
        tail -n 30 build/compile.log >&2
        die "the build failed; the whole story is in build/compile.log"
    }
}
