# shellcheck shell=bash
# What the two guests share: a job's directory, and the wait for its end. Sourced by
# scripts/guest-uml and scripts/guest-qemu after packages.sh; needs $CACHE.

# new_job COMMAND...   makes the directory $job with a script that runs COMMAND in the present
# directory, under the variables of this environment that concern the tests.
new_job() {
  mkdir -p "$CACHE/jobs"
  job=$(mktemp -d -p "$CACHE/jobs")
  {
    echo '#!/bin/bash'
    printf 'cd %q || exit 125\n' "$PWD"
    local name
    for name in HOME $(compgen -e | grep -E '^(RINGWAY_|RUST_|PROPTEST_)'); do
      printf 'export %s=%q\n' "$name" "${!name-/}"
    done
    printf 'exec'
    printf ' %q' "$@"
    echo
  } >"$job/command"
  chmod 755 "$job/command"
}

# run_guest COMMAND...   runs the guest within its time, its own words going to the job's log, the
# command's to this process's output. Ending this script ends the guest.
run_guest() {
  timeout --signal=TERM --kill-after=5 "$GUEST_LIMIT" "$@" &
  local guest=$!
  trap 'kill "$guest" || true; wait "$guest" || true; end_rest; rm -rf "$job"; exit 143' INT TERM HUP
  wait "$guest" || true
  trap - INT TERM HUP
  end_rest
}

# end_rest   ends what is left of a guest. User-mode Linux is several processes in a session of their own; one that
# outlives the others holds the console open, and whatever reads from it would wait for ever.
end_rest() {
  local process
  for process in $(grep -lsaF "RINGWAY_JOB=$job" /proc/[0-9]*/cmdline); do
    process=${process#/proc/}
    kill -KILL "${process%%/*}" 2>/dev/null || true
  done
}

# end_job   removes the job and returns its status, or 124 if the guest ended without one.
end_job() {
  local status=124
  if [ -s "$job/status" ]; then
    status=$(<"$job/status")
  else
    say "the guest ended before its command did (limit: $GUEST_LIMIT s; see GUEST_LIMIT)"
    [ ! -s "$job/log" ] || tail -n 20 "$job/log" >&2
  fi
  rm -rf "$job"
  return "$status"
}
