#!/bin/sh
# Repeat experiments on the data sets of docs/results, then fill what they found into the pages:
#
#   scripts/results.sh fig6 fig8
#   TINY_IMAGENET=path/to/tiny-imagenet-200.zip scripts/results.sh all
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

experiment() { # NAME CONFIG FOLDER further options
    name=$1 config=$2 folder=$3
    shift 3
    "$python" -m pipeline.paper "$name" --config "configs/paper/$config.toml" --out "docs/results/$folder" \
        --cache "runs/paper/$folder" "$@"
}

[ $# -gt 0 ] || set -- all
for name in "$@"; do
    experiment "$name" digits digits
    experiment "$name" tiny_imagenet_10 tiny-imagenet-10 --no-show-images --data "${TINY_IMAGENET:-tiny-imagenet-200.zip}"
    case $name in localisation | randomisation) experiment "$name" contrast_digits contrast-digits ;; esac
    case $name in all | table1) continue ;; esac # VGG11's would train six networks, for days
    experiment "$name" tiny_imagenet_10_vgg11 tiny-imagenet-10-vgg11 --no-show-images --data "${TINY_IMAGENET:-tiny-imagenet-200.zip}"
done
rm -f docs/results/*/*_[0-9]*.png # of further images, which no page shows
"$python" scripts/fewer_colours.py docs/results/*/
"$python" -m pipeline.paper pages
