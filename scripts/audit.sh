#!/usr/bin/env bash
# Report known vulnerabilities of the locked packages, with pip-audit in an environment of its own. This never fails: what
# is reported may not concern this project, and the service that is asked may be out of reach.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv=.venv-audit ready=.venv-audit/.ready
state=$(cksum <scripts/audit.lock)
if [ "$(cat "$ready" 2>/dev/null)" != "$state" ]; then
  rm -rf "$venv"
  .venv/bin/python -m venv "$venv" &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r scripts/audit.lock &&
    echo "$state" >"$ready" || { echo "no audit: pip-audit could not be installed; is the package index in reach?"; exit 0; }
fi
for lock in requirements.lock requirements-nodeps.lock; do
  report=$("$venv/bin/pip-audit" --requirement "$lock" --no-deps --disable-pip --progress-spinner off "$@" 2>&1)
  status=$?
  if [ "$status" -le 1 ] && ! grep -q Traceback <<<"$report"; then
    printf '%s: %s\n' "$lock" "$report"
  else
    printf '%s: no audit: the service did not answer (%s)\n' "$lock" "$(tail -n 1 <<<"$report")"
  fi
done
