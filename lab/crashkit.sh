#!/bin/bash
# crashkit.sh SUITE ROOT SCRATCH FILE.ko - build the module for the suite's kernel
# unpacked below ROOT.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1 root=$2 ko=$4
rm -rf "$3"
scratch=$(mkdir -p "$3" && cd "$3" && pwd)
version=$(basename "$(find "$root/lib/modules" "$root/usr/lib/modules" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -1)")
common=${version%-*} build=common # 6.1.0-56-amd64 -> 6.1.0-56
[[ $common != *-rt ]] || { common=${common%-rt} build=common-rt; }
kbuild=linux-kbuild-$common
[[ $version != 6.1.* ]] || kbuild=linux-kbuild-6.1
"$here/suite.sh" "$suite" only "$scratch" "linux-headers-$version" "linux-headers-$common-$build"
"$here/suite.sh" "$suite" unpack "$scratch" "$kbuild"
# the package's Makefile expects to be installed
sed -i "s#/usr/src/#$scratch/usr/src/#" "$scratch/usr/src/linux-headers-$version/Makefile"

# programs of the suite need its C library; those that choose one of several forms by themselves lose the choice
loader=$(find "$scratch" -path '*x86_64-linux-gnu/ld-linux-x86-64.so.2' | head -1)
libs=$(find "$scratch" -type d -name x86_64-linux-gnu | paste -sd :)
wrap() { # PROGRAM [FORM]
  local program=$scratch/usr/$1 real=$scratch/usr/$1${2:-}
  [ -e "$program" ] || return 0
  if [ "$real" = "$program" ] || [ ! -e "$real" ]; then
    real=$program.real
    mv "$program" "$real"
  fi
  printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$loader" "$libs" "$real" >"$program.new"
  chmod 755 "$program.new"
  mv "$program.new" "$program"
}
wrap "lib/$kbuild/scripts/basic/fixdep"
wrap "lib/$kbuild/scripts/mod/modpost" .real-lsb-64
wrap "lib/$kbuild/tools/objtool/objtool" .real-x86
wrap "lib/$kbuild/tools/bpf/resolve_btfids/resolve_btfids"
wrap bin/pahole

# gcc 12 has the option under another name
# shellcheck disable=SC2016
printf '#!/bin/bash\nexec gcc "${@/-fmin-function-alignment=/-falign-functions=}"\n' >"$scratch/cc"
chmod 755 "$scratch/cc"
cp -r "$here/crashkit" "$scratch/module"
make -C "$scratch/module" KDIR="$scratch/usr/src/linux-headers-$version" CC="$scratch/cc" PAHOLE="$scratch/usr/bin/pahole"
cp "$scratch/module/crashkit.ko" "$ko"
