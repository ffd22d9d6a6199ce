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
    "$python" -m paper "$name" --config "configs/paper/$config.toml" --out "docs/results/$folder" \
        --cache "runs/paper/$folder" "$@"
}

photographs() { # NAME CONFIG FOLDER further options
    experiment "$@" --no-show-images --data "${TINY_IMAGENET:-tiny-imagenet-200.zip}"
}

[ "${*:-all}" != all ] || set -- fig2 fig3 fig5 fig6 table1 fig7 fig8 fig9 fig10 \
    localisation faithfulness spike_deletion spike_deletion_trainings randomisation doses same_weights
for name in "$@"; do
    experiment "$name" digits digits
    case $name in localisation | spike_deletion | randomisation) experiment "$name" contrast_digits contrast-digits ;; esac
    case $name in spike_deletion) experiment "$name" saccade_digits saccade-digits ;; esac
    photographs "$name" tiny_imagenet_10 tiny-imagenet-10
    case $name in doses | spike_deletion | spike_deletion_trainings | same_weights | table1) continue ;; esac # table1 of VGG11 would train it fifteen times, for a day or more
    photographs "$name" tiny_imagenet_10_vgg11 tiny-imagenet-10-vgg11
done
rm -f docs/results/*/*_[0-9]*.png # of further images, which no page shows
"$python" scripts/fewer_colours.py docs/results/*/
"$python" -m paper pages
