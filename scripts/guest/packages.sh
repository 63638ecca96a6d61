# shellcheck shell=bash
# Fetches Debian packages into the repository's own .cache, without root and without touching the
# system: a private apt state reads the archives that this host already trusts, other suites of
# the same archive included. Sourced by the guest scripts; needs $CACHE (an absolute path).

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# open_suite SUITE   readies a private apt state for SUITE and leaves its options in apt_options.
open_suite() {
  local suite=$1 state=$CACHE/apt/$1 archive
  { command -v apt-get && command -v dpkg-deb; } >/dev/null ||
    die "no apt on this host, so nothing can be fetched: install user-mode-linux, qemu and busybox-static by hand"
  mkdir -p "$state"/{lists/partial,archives/partial,parts}
  if [ ! -s "$state/sources.list" ]; then
    # The archive of the host's own main suite: its other suites, backports too, live beside it.
    # shellcheck disable=SC2016  # apt expands these, not the shell
    archive=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
      awk '$1 == "Debian" && $2 !~ /-/ { print $3; exit }')
    [ -n "$archive" ] || die "apt has no lists of a Debian archive: run apt-get update first"
    local name
    for name in "$suite" "${suite%-backports}"; do
      echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $name main"
    done | sort -u >"$state/sources.list"
  fi
  apt_options=(-q -t "$suite" -o "Dir::Etc::sourcelist=$state/sources.list"
    -o "Dir::Etc::sourceparts=$state/parts" -o "Dir::State::lists=$state/lists"
    -o "Dir::Cache=$state" -o "Dir::Cache::archives=$state/archives"
    -o Debug::NoLocking=1 -o APT::Sandbox::User= -o APT::Install-Recommends=false)
  if [ ! -e "$state/updated" ]; then
    say "reading the package lists of $suite"
    quietly apt-get "${apt_options[@]}" update && touch "$state/updated"
  fi
}

# quietly COMMAND...   shows what a command printed only if it fails.
quietly() {
  "$@" >"$CACHE/apt/log" 2>&1 || { cat "$CACHE/apt/log" >&2; return 1; }
}

# fetch_package SUITE PACKAGE DIRECTORY   unpacks one package.
fetch_package() {
  local suite=$1 package=$2 directory=$3 apt_options archives=$CACHE/apt/$1/archives
  open_suite "$suite" || return 1
  say "fetching $package from $suite"
  mkdir -p "$directory"
  (cd "$archives" && quietly apt-get "${apt_options[@]}" download "$package") || return 1
  unpack "$archives" "$directory"
}

# fetch_with_dependencies SUITE PACKAGE DIRECTORY   unpacks a package, and of those that it depends
# on the ones that this host lacks.
fetch_with_dependencies() {
  local suite=$1 package=$2 directory=$3 apt_options
  open_suite "$suite" || return 1
  say "fetching $package and its dependencies from $suite"
  mkdir -p "$directory"
  quietly apt-get "${apt_options[@]}" install --download-only --yes "$package" || return 1
  unpack "$CACHE/apt/$suite/archives" "$directory"
}

# fetch_kernel SUITE PACKAGE DIRECTORY   unpacks a kernel image. The package may be one that only
# depends on the current version, or (from 7.0) on the halves of an image.
fetch_kernel() {
  local suite=$1 package=$2 directory=$3 apt_options part
  open_suite "$suite" || return 1
  for part in $(apt-cache "${apt_options[@]}" depends --recurse --important "$package" |
    grep -E '^linux-(image|binary|modules|base)-[0-9]' | sort -u); do
    fetch_package "$suite" "$part" "$directory" || return 1
  done
}

# unpack ARCHIVES DIRECTORY   unpacks all that was downloaded, and removes it.
unpack() {
  local archive
  for archive in "$1"/*.deb; do dpkg-deb -x "$archive" "$2" || return 1; done
  rm -f "$1"/*.deb
}

# static_busybox   prints the path of a static busybox, fetched once.
static_busybox() {
  local found
  found=$(find "$CACHE/busybox" -type f -path '*bin/busybox' 2>/dev/null)
  if [ -z "$found" ]; then
    fetch_package bookworm busybox-static "$CACHE/busybox" || return 1
    found=$(find "$CACHE/busybox" -type f -path '*bin/busybox')
  fi
  echo "$found"
}

# stage_modules DIRECTORY DESTINATION MODULE...   DIRECTORY holds a kernel's modules and their
# modules.dep. Copies each MODULE after what it depends on, uncompressed, and writes the order of
# loading to DESTINATION/order. A module that the kernel has built in, or lacks, is passed over.
stage_modules() {
  local modules=$1 destination=$2 file name; shift 2
  rm -rf "$destination"; mkdir -p "$destination"
  for name in "$@"; do
    awk -F': *' -v want="${name//-/_}" '
      { file = $1; sub(/.*\//, "", file); sub(/\.ko.*/, "", file); gsub("-", "_", file) }
      file == want { count = split($2, needs, " "); while (count) print needs[count--]; print $1 }
    ' "$modules/modules.dep"
  done | awk '!seen[$0]++' | while read -r file; do
    name=${file##*/}; name=${name%%.ko*}.ko
    case $file in
      *.xz) xz -dc "$modules/$file" ;;
      *.zst) zstd -dcq "$modules/$file" ;;
      *) cat "$modules/$file" ;;
    esac >"$destination/$name" || return 1
    printf '%s\n' "$name" >>"$destination/order"
  done
}
