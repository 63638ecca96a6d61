# shellcheck shell=bash
# Phases of a test run: each is announced, timed, and counted. Sourced by scripts/test and
# scripts/test-newer-kernel, in the repository's root.

passed=0 failed=0 skipped=0 lacking=0
work=$(mktemp -d)
beside=
trap '[ -z "$beside" ] || kill -- -"$beside" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 143' INT TERM HUP
# Where a test writes that it could not run, and why.
export RINGWAY_SKIPS=$PWD/.cache/skips
mkdir -p .cache
: >"$RINGWAY_SKIPS"

# need PROGRAM HOW   notes that a program is missing, and how to get it.
need() { command -v "$1" >/dev/null || missing "$1" "$2"; }
missing() { echo "missing: $1; $2" >&2; lacking=$((lacking + 1)); }
nothing_missing() { [ "$lacking" -eq 0 ]; }

# phase NAME COMMAND...   runs a command that passes or fails as a whole.
phase() {
  local name=$1 begun=$SECONDS; shift
  echo "== $name"
  if "$@"; then
    echo "== $name: passed in $((SECONDS - begun)) s"
    passed=$((passed + 1))
  else
    echo "== $name: FAILED after $((SECONDS - begun)) s"
    failed=$((failed + 1))
  fi
}

# tests NAME COMMAND...   runs test binaries and adds up their own counts.
tests() {
  local name=$1 begun=$SECONDS log=$work/log.$BASHPID status fine bad away before
  shift
  before=$(wc -l <"$RINGWAY_SKIPS")
  echo "== $name"
  # The names of tests that pass are left out; progress is a line for each hundred of them.
  "$@" 2>&1 | tee "$log" | awk '
    /^test .* \.\.\. ok$/ { if (++count % 100 == 0) print "   " count " tests passed"; fflush(); next }
    { print; fflush() }'
  status=${PIPESTATUS[0]}
  fine=$(counted passed "$log") bad=$(counted failed "$log")
  away=$(($(wc -l <"$RINGWAY_SKIPS") - before))
  # A runner that dies before its count is a failure by itself, and so is one that ran nothing.
  if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$fine" -eq 0 ]; }; then bad=1; fi
  passed=$((passed + fine - away)) failed=$((failed + bad)) skipped=$((skipped + away))
  echo "== $name: $((fine - away)) passed, $bad failed, $away skipped in $((SECONDS - begun)) s"
}

counted() {
  sed -nE "s/^test result: .* ([0-9]+) $1;.*/\1/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }'
}

# test_binary KIND TARGET   prints the path of the built test binary of a target.
test_binary() {
  cargo test --quiet --no-run --message-format=json 2>/dev/null |
    grep '"profile":{[^}]*"test":true' | grep "\"kind\":\[\"$1\"\]" | grep "\"name\":\"$2\"" |
    sed -nE 's/.*"executable":"([^"]+)".*/\1/p' | head -n 1
}

# beside COMMAND...   begins phases in the background, in a shell of their own; `await` prints what
# they printed and adds up their counts.
beside() {
  export RINGWAY_SKIPS=$PWD/.cache/skips.beside
  : >"$RINGWAY_SKIPS"
  # A group of its own, so that it can be ended whole.
  set -m
  (
    passed=0 failed=0 skipped=0
    trap - EXIT
    "$@"
    echo "$passed $failed $skipped" >"$work/counts"
  ) >"$work/beside" 2>&1 </dev/null &
  beside=$!
  set +m
  RINGWAY_SKIPS=$PWD/.cache/skips
}

# await   waits for what `beside` began.
await() {
  local fine bad away
  echo "== waiting for what runs beside"
  wait "$beside" || true
  beside=
  cat "$work/beside"
  if read -r fine bad away <"$work/counts"; then
    passed=$((passed + fine)) failed=$((failed + bad)) skipped=$((skipped + away))
  else
    echo "== what ran beside died"
    failed=$((failed + 1))
  fi
  cat "$RINGWAY_SKIPS.beside" >>"$RINGWAY_SKIPS"
}

# kernel_tls_tests NAME SELECTION GUEST...   runs the library's tests, the proofs of kernel TLS and a
# selection of the other wire tests (none: all) inside a guest. Every server takes kernel TLS
# wherever the kernel has it. Without it the proofs fail instead of being skipped.
kernel_tls_tests() {
  local name=$1 selection=$2 library observe wire http2 apps; shift 2
  library=$(test_binary lib ringway) observe=$(test_binary test observe)
  wire=$(test_binary test wire) http2=$(test_binary test h2) apps=$(test_binary test apps)
  [ -n "$library" ] && [ -n "$observe" ] && [ -n "$wire" ] && [ -n "$http2" ] && [ -n "$apps" ] ||
    { phase "$name: find the test binaries" false; return; }
  export RINGWAY_REQUIRE_KTLS=1
  # shellcheck disable=SC2086  # a selection is several words
  tests "$name" "$@" scripts/guest/run "$library" "$observe" "$wire" "$http2" "$apps" $selection
  unset RINGWAY_REQUIRE_KTLS
}

# switched_off_tests NAME GUEST...   runs, inside a guest that ends behind it, the wire tests of a host
# whose io_uring is switched off.
switched_off_tests() {
  local name=$1 wire; shift
  wire=$(test_binary test wire)
  [ -n "$wire" ] || { phase "$name: find the test binary" false; return; }
  tests "$name" env RINGWAY_OWN_HOST=1 "$@" "$wire" --color=never --test-threads=1 \
    --include-ignored io_uring_switched_off
}

summary() {
  echo
  if [ -s "$RINGWAY_SKIPS" ]; then
    echo "Skipped:"
    sort "$RINGWAY_SKIPS" | sed 's/^/  /'
  fi
  echo "All phases in $((SECONDS / 60)) min $((SECONDS % 60)) s."
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ]
}
