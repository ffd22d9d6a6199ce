#!/usr/bin/env bash
# Whether the wheel works on every supported Python that this machine has: alone, and with what trains and converts.
#
#   .ci/smoke.sh UV    UV makes environments
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly uv=$(realpath "$1") smoke=$PWD/.ci/smoke.py
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python -m hatchling build --target wheel --directory "$folder" >/dev/null
sed '/^[a-zA-Z0-9]/!d; s/ .$//' requirements.lock >"$folder/versions" # without their hashes

try() { # PYTHON EXTRAS
  local place=$folder/$1$2
  mkdir "$place"
  "$uv" venv --quiet --python "$(scripts/setup.sh --find "$1")" "$place/venv"
  "$uv" pip install --quiet --python "$place/venv/bin/python" --constraint "$folder/versions" \
    "spikesam$2 @ file://$(ls "$folder"/spikesam-*.whl)"
  (cd "$place" && OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 venv/bin/python "$smoke") >"$place/said" 2>&1
}

for python in $(scripts/setup.sh --list); do
  try "$python" "" & # beside the other one, since both wait for much
  light=$!
  code=0
  try "$python" "[torch,train]" || code=1
  wait "$light" || code=1
  cat "$folder/$python"*/said
  [ "$code" = 0 ] || { echo "error: the wheel fails on Python $python" >&2; exit 1; }
done
echo "1 passed, 0 failed"
