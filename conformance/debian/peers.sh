#!/bin/sh
# peers.sh DIR: Xen of other Debian suites than this machine's, unpacked below DIR: DIR/RELEASE/root, and DIR/RELEASE/libc
# where its libraries want a newer libc than this machine has.  Nothing is installed.  Status 1 if one could not be had.
set -eu
dir=$(mkdir -p "$1" && cd "$1" && pwd)
. "$(dirname "$0")/suite.sh"

fetch() { # RELEASE SUITE PACKAGE...
    release=$1 name=$2 new=$dir/$1.new
    shift 2
    if [ -d "$dir/$release" ]; then
        return
    fi
    rm -rf "$new"
    mkdir -p "$new/packages"
    suite "$dir" "$name"
    # shellcheck disable=SC2086 # several words
    version=$(apt-cache $apt show "libxenmisc$release" | sed -n 's/^Version: //p' | head -1)
    if [ -z "$version" ]; then
        echo "$0: the mirror has no Xen $release in $name" >&2
        exit 1
    fi
    (
        cd "$new/packages"
        for package in "libxenmisc$release" libxen-dev "xen-utils-$release" libxencall1 libxenforeignmemory1 \
            libxendevicemodel1 libxenevtchn1 libxengnttab1 libxentoollog1 libxentoolcore1 libxenhypfs1 "$@"; do
            # shellcheck disable=SC2086
            apt-get $apt download "$package=$version"
        done
    )
    for package in "$new"/packages/*.deb; do
        dpkg -x "$package" "$new/root"
    done
    rm "$new"/packages/*.deb
    # Only a newer libc is needed, and an older one would not serve the libraries that remain this machine's.
    # shellcheck disable=SC2086
    (cd "$new/packages" && apt-get $apt download "libc6/$name")
    libc=$(dpkg-deb -f "$new"/packages/libc6_*.deb Version)
    if dpkg --compare-versions "$libc" gt "$(dpkg-query -W -f '${Version}' libc6:"$(dpkg --print-architecture)")"; then
        dpkg -x "$new"/packages/libc6_*.deb "$new/libc"
    fi
    rm -r "$new/packages"
    echo "$version" >"$new/version"
    mv "$new" "$dir/$release"
    echo "Xen $version"
}

# Each by itself: a suite that the mirror has no more costs only its own release.  In a list with || the shell would go
# on after an error, in a process of its own it does not.
status=0
fetch 4.14 bullseye libxenstore3.0 &
wait $! || status=1
fetch 4.20 trixie libxenstore4 &
wait $! || status=1
rm -rf "$dir"/apt-* "$dir"/*.new
exit $status
