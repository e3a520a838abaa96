# Sourced: packages of another Debian suite, without installing any.  The temporary apt configuration has one source, the
# mirror that this machine is set to, with the key that the machine checks its packages by; no host is written here.
# suite DIR SUITE sets $apt to the options for apt-get and apt-cache; what is fetched goes to DIR/apt-SUITE.
suite() {
    sources=/etc/apt/sources.list.d/debian.sources
    uri=$(sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' "$sources" | head -1)
    key=$(sed -n 's/^Signed-By:[[:space:]]*//p' "$sources" | head -1)
    if [ -z "$uri" ] || [ -z "$key" ]; then
        echo "$0: $sources does not name a mirror and its key" >&2
        return 1
    fi
    mkdir -p "$1/apt-$2/lists/partial" "$1/apt-$2/cache/archives/partial"
    echo "deb [signed-by=$key] $uri $2 main" >"$1/apt-$2/sources.list"
    apt="-qq -o Dir::Etc::SourceList=$1/apt-$2/sources.list -o Dir::Etc::SourceParts=- -o Dir::State::Lists=$1/apt-$2/lists
         -o Dir::Cache=$1/apt-$2/cache -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086 # several words
    apt-get $apt update
}
