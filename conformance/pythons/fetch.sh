#!/bin/sh
# fetch.sh DIR: the Pythons of newer Debian suites, unpacked below DIR: DIR/SUITE-VERSION/bin/pythonVERSION runs one.
# Nothing is installed.  The packages come from the mirror that this machine is set to, and apt checks their signatures.
set -eu
dir=$(mkdir -p "$1" && cd "$1" && pwd)
. "$(dirname "$0")/../debian/suite.sh"

fetch() { # SUITE VERSION
    home=$dir/$1-$2
    if [ -x "$home/bin/python$2" ]; then
        return
    fi
    mkdir -p "$home/bin" "$home/packages"
    suite "$dir" "$1"
    # The interpreter with its library, and what the modules that we use are linked with, down to the suite's own libc.
    (
        cd "$home/packages"
        for package in "python$2-minimal" "libpython$2-minimal" "libpython$2-stdlib" libc6 libssl3t64 libexpat1 zlib1g \
            libbz2-1.0 libffi8 liblzma5 libzstd1 libuuid1; do
            # shellcheck disable=SC2086 # several words
            apt-get $apt download "$package/$1"
        done
    )
    for package in "$home"/packages/*.deb; do
        dpkg -x "$package" "$home/root"
    done
    rm -r "$home/packages"
    loader=$(find "$home/root" -name 'ld-linux*.so.*' | head -1)
    libraries=$(dirname "$(find "$home/root" -name libc.so.6 | head -1)")
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$loader" "$libraries" "$home/root/usr/bin/python$2" \
        >"$home/bin/python$2.new"
    chmod +x "$home/bin/python$2.new"
    mv "$home/bin/python$2.new" "$home/bin/python$2"
}

fetch trixie 3.13
fetch sid 3.13
fetch sid 3.14
rm -rf "$dir"/apt-*
