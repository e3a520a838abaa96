#!/bin/sh
# qemu.sh DIR [RELEASE=SUITE VERSION]: QEMU of four Debian suites, or of one in that version, unpacked below DIR:
# DIR/RELEASE/root has the program that emulates PCs and all the libraries that it needs, its libc among them.  Nothing is
# installed.  Status 1 if one could not be had.
set -eu
dir=$(mkdir -p "$1" && cd "$1" && pwd)
shift
. "$(dirname "$0")/suite.sh"
program=qemu-system-x86

fetch() { # RELEASE SUITE VERSION
    release=$1 name=$2 version=$3 new=$dir/$1.new
    if [ -d "$dir/$release" ]; then
        return
    fi
    rm -rf "$new"
    mkdir -p "$new/root" "$new/packages/partial"
    suite "$dir" "$name"
    # shellcheck disable=SC2086 # several words
    version=${version:-$(apt-cache $apt show "$program" | sed -n 's/^Version: //p' | head -1)}
    case $version in
    1:"$release"[.+]*) ;;
    *)
        echo "$0: the mirror has QEMU ${version:-of no release} in $name, and not $release" >&2
        exit 1
        ;;
    esac
    # By a list of no installed packages all that the program needs is fetched, so that none of it is this machine's.
    : >"$new/packages/status"
    # shellcheck disable=SC2086
    apt-get $apt -o Dir::State::status="$new/packages/status" -o Dir::Cache::archives="$new/packages" \
        -o Debug::NoLocking=1 --no-install-recommends --download-only -y install "$program=$version" >/dev/null
    for package in "$new"/packages/*.deb; do
        dpkg-deb --fsys-tarfile "$package" >"$new/packages/tar"
        # Some packages have no library, at which tar complains.
        tar -x -f "$new/packages/tar" -C "$new/root" --wildcards '*.so' '*.so.*' "./usr/bin/${program}_64" 2>/dev/null || :
    done
    rm -r "$new/packages"
    test -x "$new/root/usr/bin/${program}_64"
    echo "$version" >"$new/version"
    mv "$new" "$dir/$release"
    echo "QEMU $version"
}

# Each by itself, as in peers.sh.
status=0
for each in ${1:-5.2=bullseye 7.2=bookworm 10.0=trixie 11.1=sid}; do
    fetch "${each%=*}" "${each#*=}" "${2:-}" &
    wait $! || status=1
done
rm -rf "$dir"/apt-* "$dir"/*.new
exit $status
