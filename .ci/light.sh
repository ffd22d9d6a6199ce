#!/usr/bin/env bash
# What the wheel alone is: its size, and the commands that need no extra, run in an environment of its own.
#
#   .ci/light.sh UV    in a folder that goes with it; UV makes environments
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly most=600 # MB
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python -m hatchling build --target wheel --directory "$folder" >/dev/null
uv=$(realpath "$1")
"$uv" venv --quiet --python .venv/bin/python "$folder/venv"
sed '/^[a-zA-Z0-9]/!d; s/ .$//' requirements.lock >"$folder/versions" # without their hashes
"$uv" pip install --quiet --python "$folder/venv/bin/python" --constraint "$folder/versions" "$folder"/spikesam-*.whl
size=$(du -sm "$folder/venv" | cut -f1)
echo "light environment: $size MB"
[ "$size" -le "$most" ] || { echo "error: more than $most MB" >&2; exit 1; }

cd "$folder"
export PATH="$folder/venv/bin:$PATH"
spikesam run --backend event --samples 4 --out run >/dev/null
spikesam explain run --method relevance --figures pictures >/dev/null
spikesam report run >/dev/null
spikesam validate run/raster.h5 run/sam.h5 run/relevance.h5 >/dev/null
python -c 'import numpy, spikesam; spikesam.write_raster("a.h5", {"conv1": numpy.ones((1, 4, 1, 2, 2), bool)}); spikesam.explain("a.h5").plot()'
for command in "run --backend torch --out no" "train --out no" "gradcam cluttered-digits --out no.h5"; do
  code=0
  said=$(spikesam $command 2>&1) || code=$?
  [[ $code = 2 && $said = *"pip install 'spikesam["* ]] || { echo "error: spikesam $command said: $said" >&2; exit 1; }
done
echo "1 passed, 0 failed"
