#!/bin/bash
# suite.sh SUITE kernel DIR              unpack the suite's current kernel below DIR; prints its package
# suite.sh SUITE get PACKAGE...          download packages into the current folder
# suite.sh SUITE unpack DIR PACKAGE...   the same with all they depend on, unpacked below DIR
# suite.sh SUITE only DIR PACKAGE...     the same without what they depend on
# suite.sh SUITE policy PACKAGE...       which version the suite has
#
# Takes packages of any Debian suite (bullseye, bookworm, trixie, sid) from the
# mirror that this machine's own apt uses.  Nothing is installed.  ARCH=arm64
# takes another architecture's, KERNEL=linux-image-rt-amd64 another kernel.  Lists and packages stay in $LAB_CACHE.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 3 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
suite=$1 verb=$2; shift 2
arch=${ARCH:-$(dpkg --print-architecture)}
home=${LAB_CACHE:-${LAB_OUT:-$here/out}/.cache}/$suite-$arch
mkdir -p "$home/lists/partial" "$home/cache/archives/partial" "$home/debs"

uris() {
  grep -rhoE '^(URIs:|deb) *(\[[^]]*\] *)?[a-z+]+:[^ ]*debian[^ ]*' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -oE '[a-z+]+:/[^ ]+$'
}
source_of() { # URI SUITE
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' "$1" "$2" \
    /usr/share/keyrings/debian-archive-keyring.gpg
}
all=$(uris || true)
mirror=$(grep -v security <<<"$all" | head -1 || true)
security=$(grep security <<<"$all" | head -1 || true)
[ -n "$mirror" ] || { echo "suite.sh: no Debian mirror in this machine's apt configuration" >&2; exit 1; }

exec 8>"$home/lock"
flock 8
{
  source_of "$mirror" "$suite"
  if [ -n "$security" ] && [ "$suite" != sid ]; then source_of "$security" "$suite-security"; fi
} >"$home/suite.sources"
opt=(-oDir::Etc::sourcelist="$home/suite.sources" -oDir::Etc::sourceparts=/dev/null
  -oDir::State::Lists="$home/lists" -oDir::Cache="$home/cache" -oDir::State::status=/dev/null
  -oAPT::Architectures="$arch" -oAPT::Architecture="$arch" -oAPT::Sandbox::User=root
  -oAcquire::Retries=3 -oAcquire::http::Timeout=60 -oAcquire::Languages=none)
if [ -z "$(find "$home/updated" -mmin -720 2>/dev/null)" ]; then
  # a suite without security updates is no error
  apt-get "${opt[@]}" -qq update || [ -n "$(apt-cache "${opt[@]}" search --names-only '^busybox$')" ]
  touch "$home/updated"
fi

depends() { # [OPTION...] PACKAGE...: real packages, themselves included
  local names
  names=$(apt-cache "${opt[@]}" depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "$@" | grep -oE '^[a-z0-9][^ ]*|Depends: [a-z0-9][^ ]*' | sed 's/^Depends: //; s/:any$//' | sort -u)
  # purely virtual names cannot be downloaded
  # shellcheck disable=SC2086
  apt-cache "${opt[@]}" show --no-all-versions $names 2>/dev/null | sed -n 's/^Package: //p' | sort -u
}
unpack() { # DIR PACKAGE...
  local dir p deb
  dir=$(mkdir -p "$1" && cd "$1" && pwd); shift
  cd "$home/debs"
  apt-get "${opt[@]}" -qq download "$@"
  for p in "$@"; do
    # the newest, should the cache hold more than one version
    deb=$(find . -name "${p}_*.deb" -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)
    dpkg -x "$deb" "$dir"
  done
}
case $verb in
get) apt-get "${opt[@]}" -qq download "$@" ;;
policy) apt-cache "${opt[@]}" policy "$@" ;;
only) unpack "$@" ;;
unpack)
  dir=$1; shift
  mapfile -t names < <(depends --recurse "$@")
  [ ${#names[@]} -gt 0 ] || { echo "suite.sh: $suite has no $*" >&2; exit 1; }
  unpack "$dir" "${names[@]}"
  ;;
kernel)
  # linux-image-amd64 -> linux-image-VERSION-amd64 -> (newer suites) linux-binary-, linux-modules-VERSION
  meta=${KERNEL:-linux-image-$arch}
  image=$(depends "$meta" | grep -E '^linux-image-[0-9]' | tail -1 || true)
  [ -n "$image" ] || { echo "suite.sh: $suite has no $meta for $arch" >&2; exit 1; }
  mapfile -t names < <(depends --recurse "$image" | grep -E "^linux-(image|binary|modules)-[0-9].*${image##*-}\$")
  unpack "$1" "${names[@]}"
  apt-cache "${opt[@]}" show --no-all-versions "$image" | sed -n 's/^Package: //p; s/^Version: //p' | paste -sd ' '
  ;;
*) echo "suite.sh: no such verb: $verb" >&2; exit 2 ;;
esac
