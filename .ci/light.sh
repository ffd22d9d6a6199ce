#!/usr/bin/env bash
# What the wheel alone is: its size, and the commands that need no extra, run in an environment of its own; and whether
# all extras can be installed together, beside the newest sinabs, whose bounds are narrow.
#
#   .ci/light.sh UV    in a folder that goes with it; UV makes environments
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# MB of an environment with the wheel and what it needs. pip compiles every file, and lies there itself (12 MB).
readonly most_uv=380 most_pip=455
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python -m hatchling build --target wheel --directory "$folder" >/dev/null
uv=$(realpath "$1")
"$uv" venv --quiet --python .venv/bin/python "$folder/venv"
sed '/^[a-zA-Z0-9]/!d; s/ .$//' requirements.lock >"$folder/versions" # without their hashes
"$uv" pip install --quiet --python "$folder/venv/bin/python" --constraint "$folder/versions" "$folder"/spikesam-*.whl
.venv/bin/python -m venv "$folder/pip"
"$folder/pip/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$folder/versions" "$folder"/spikesam-*.whl
"$folder/pip/bin/python" -m pip check
measure() {
  local size
  size=$(du -sm "$2" | cut -f1)
  echo "light environment, with $1: $size MB"
  [ "$size" -le "$3" ] || { echo "error: more than $3 MB" >&2; exit 1; }
}
measure uv "$folder/venv" "$most_uv"
measure pip "$folder/pip" "$most_pip"

for python in 3.11 3.13; do
  resolved=$(echo "spikesam[all] @ file://$(ls "$folder"/spikesam-*.whl)"$'\n'sinabs |
    "$uv" pip compile --quiet --no-header --no-annotate --python-version "$python" -)
  grep --quiet '^sinabs==3\.1' <<<"$resolved" || { echo "error: with all extras on Python $python, sinabs is put back" >&2; exit 1; }
done

cd "$folder"
export PATH="$folder/venv/bin:$PATH"
spikesam run --backend event --samples 4 --out run >/dev/null
spikesam explain run --method relevance --figures pictures >/dev/null
spikesam report run >/dev/null
spikesam validate run/raster.h5 run/sam.h5 run/relevance.h5 >/dev/null
python -c 'import numpy, spikesam; spikesam.write_raster("a.h5", {"conv1": numpy.ones((1, 4, 1, 2, 2), bool)}); spikesam.explain("a.h5").plot()'
for command in "run --backend torch --out no" "train --out no" "explain cluttered-digits --out no.h5" "energy run" "diff run run"; do
  code=0
  said=$(spikesam $command 2>&1) || code=$?
  [[ $code = 2 && $said = *"pip install 'spikesam["* ]] || { echo "error: spikesam $command said: $said" >&2; exit 1; }
done
echo "1 passed, 0 failed"
