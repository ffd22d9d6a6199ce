"""Beyond the paper: label-free variants of SAM, chosen on one split, reported on another.

Every variant is computed from raster files alone (:mod:`pipeline.maps.sam_variants`): channels normalised or
weighted by how selective they are, contrast against the layer's expected map, the later or earlier half of the steps,
both merged, γ tuned per layer, all layers merged. With SAM's kernel and, in its place, plain counts.

* Chosen on images kept aside: the digits' split "selection"; elsewhere the part of the training images that the network
  was not trained on. As they are, and pasted on texture. The choice is the largest gain over the paper's SAM, averaged
  over both conditions, the layers, and the two measures that ask for an order of pixels alone (pointing game, IoU at
  the object's area). With energy in the object and IoU above half the maximum, which a first run also chose by,
  whatever subtracts something from the map wins: "SAM sharpened", which takes the map's own mean away, shows that.
* Reported on validation images, as differences from SAM and from the spike count, paired over images and averaged over
  layers. γ per layer, and merging layers (against SAM at its best single layer on the selection images), are chosen the
  same way and reported beside it.
* A variant wins clearly if under every condition it beats both, in one of these measures at least, and loses in none;
  and if the gain is worth having: at least 0.02 from both, averaged over conditions and measures.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.drawing.curves import MapRow, draw_maps
from pipeline.drawing.intervals import draw_intervals
from pipeline.images.datasets import CLUTTERED_DIGITS
from pipeline.images.samples import Samples, labelled_for
from pipeline.images.selection import balanced_order, split_selection
from pipeline.maps.sam_variants import VARIANTS, merge
from pipeline.measures.maps import resize_map
from pipeline.measures.statistics import Estimate, paired_difference
from pipeline.networks.widen import widen
from recordings.raster.reader import RasterReader

from .localisation import ORDINAL, SCORED, joint, score_maps
from .study.conditions import ALL_OBJECTS, AS_IS, PREDICTED, TEXTURE, Condition, conditions
from .study.images import ImageSet, prepare
from .study.result import Claim, Result, with_interval
from .study.study import Study
from .study.time_sums import halves

GAMMAS = (0.0, 0.1, 0.25, 1.0, 2.0)
SAM, COUNT, SHARPENED = "SAM", "spike count", "SAM sharpened"
CONTROLS = (SAM, COUNT, SHARPENED, "spike count sharpened")
MERGED = "all layers"
TUNED = "γ tuned per layer"
MERGING = ("SAM", "channel mean")  # candidates whose layers are merged
WORTH_HAVING = 0.02
ORDINAL_ROWS = [list(SCORED).index(measure) for measure in ORDINAL]
Maps = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Trial:
    """Scores of every candidate under one condition.

    Parameters
    ----------
    split, condition : names
    layers : that were scored, in order of depth
    scores : (candidate, layer or "all layers") -> (measures, n)
    """

    split: str
    condition: str
    layers: tuple[str, ...]
    scores: Mapping[tuple[str, str], NDArray[np.float64]]

    @property
    def candidates(self) -> list[str]:
        """Those that make one map per layer."""
        return list(dict.fromkeys(candidate for candidate, layer in self.scores if layer != MERGED))

    def mean_over_layers(self, candidate: str) -> NDArray[np.float64]:
        """(measures, n)."""
        return np.mean([self.scores[candidate, layer] for layer in self.layers], axis=0)


@dataclass(frozen=True, eq=False)
class Proposal:
    """A variant as chosen: which candidate at which layers, and what it is compared with.

    Parameters
    ----------
    name : for tables
    maps : (candidate, layer) pairs whose scores are averaged
    layers : at which the controls are taken
    """

    name: str
    maps: Sequence[tuple[str, str]]
    layers: Sequence[str]

    def gain(self, trial: Trial, control: str) -> list[Estimate]:
        """Paired difference from a control, in each of the measures that count."""
        own = np.mean([trial.scores[key] for key in self.maps], axis=0)
        other = np.mean([trial.scores[control, layer] for layer in self.layers], axis=0)
        return [paired_difference(own[row], other[row]) for row in ORDINAL_ROWS]


def run(study: Study) -> Result:
    """Choose and report."""
    if not (has_objects(study.images) and has_objects(aside := held_out(study))):
        claim = Claim("a variant beats SAM", "has SAM alone", "no image has a box or mask", "cannot say", 0)
        return Result(TITLE, [{"n": 0}], [claim], ["Without boxes or masks there is nothing to choose by."])
    selection = [
        trial for each in conditions(study, aside, (AS_IS, TEXTURE)) if (trial := score_all(study, "selection", each))
    ]
    reported = (AS_IS, TEXTURE, PREDICTED, ALL_OBJECTS, "among decoys")
    report = [
        trial for each in conditions(study, study.images, reported) if (trial := score_all(study, "validation", each))
    ]
    proposals = choose(selection)
    draw(study, selection, report, proposals)
    rows = [row for trial in (*selection, *report) for row in table(trial, proposals)]
    claims = [claim for proposal in proposals for claim in claims_of(proposal, report)]
    return Result(TITLE, rows, claims, [*NOTES, *(conclusion(proposal, report) for proposal in proposals)])


TITLE = "Beyond the paper: label-free variants of SAM"
NOTES = (
    "Differences are paired over validation images: pointing game / IoU at the object's area. “yes”: better by one "
    "at least and worse by none (95 % intervals exclude 0); “no”: the opposite; “cannot say”: they contradict each "
    "other.",
)


def held_out(study: Study) -> ImageSet:
    """Images to choose by, which the network was neither trained on nor is reported on."""
    config, checkpoint = study.config, study.surrogate
    count, seed = study.settings.images, study.settings.seed
    split = "selection" if config.data.source == CLUTTERED_DIGITS else "train"
    dataset = labelled_for(checkpoint, config.data.source, split, config.data.download)
    if split == "selection":
        kept = np.arange(len(dataset))
    else:
        kept = split_selection(dataset.labels, config.training.selection, config.training.seed)[1]
    order = balanced_order([dataset.labels[position] for position in kept.tolist()], seed)[:count]
    return prepare(Samples(dataset, kept[order], checkpoint.preprocessing))


def has_objects(images: ImageSet) -> bool:
    """Whether any object is known."""
    return any(mask is not None and mask.any() for mask in images.masks)


def score_all(study: Study, split: str, condition: Condition) -> Trial | None:
    """Record, and score every candidate; None where no object is asked for. Cached."""
    network, images = study.surrogate.network, condition.images
    path = study.recording(widen(network, *images.size), images)
    with RasterReader(path) as raster:
        asked = condition.asked(raster.predictions)
        layers = tuple(study.layers(raster))
        known = [image for image, mask in enumerate(asked.masks) if mask is not None and mask.any()]
        if not known:
            return None

        def compute() -> dict[str, NDArray[Any]]:
            found = {}
            kept: dict[str, list[NDArray[np.float64]]] = {candidate: [] for candidate in MERGING}
            with study.progress(f"variants, {split}, {condition.name}", len(layers)) as advance:
                for layer in layers:
                    maps = candidate_maps(raster, layer, study.settings.gamma)
                    for candidate, stack in maps.items():
                        found[f"{candidate}|{layer}"] = _scores(stack, asked, known)
                    for candidate, stacks in kept.items():
                        stacks.append(np.stack([resize_map(each, asked.size) for each in maps[candidate]]))
                    advance(1)
            for candidate, stacks in kept.items():
                found[f"{_merged(candidate)}|{MERGED}"] = _scores(merge(stacks), asked, known)
            return found

        masks = hashlib.sha256(b"".join(np.packbits(asked.masks[image]).tobytes() for image in known))  # type: ignore[arg-type]
        inputs: dict[str, Any] = {
            "raster": raster.raster_digest,
            "objects": masks.hexdigest(),
            "known": known,
            "layers": layers,
        }
        inputs |= {"gamma": study.settings.gamma, "measures": list(SCORED)}
        arrays = study.arrays("variants", inputs, compute)
    scores = {(candidate, layer): found for key, found in arrays.items() for candidate, layer in [key.split("|")]}
    return Trial(split, condition.name, layers, scores)


def candidate_maps(raster: RasterReader, layer: str, gamma: float) -> dict[str, Maps]:
    """Every candidate's maps of one layer: name -> (N, h, w)."""
    by_channel, by_gamma, later = [], [], []
    for parts in halves(raster, layer, (gamma, math.inf, *GAMMAS)):
        by_channel.append(parts[:2].sum(axis=1))
        by_gamma.append(parts[2:].sum(axis=(1, 2)))
        later.append(parts[0].sum(axis=1))
    channels = np.stack(by_channel, axis=1)  # (2, N, C, h, w)
    maps = {}
    for kernel, stack in zip((SAM, COUNT), channels, strict=True):
        for name, variant in VARIANTS.items():
            maps[kernel if name == "plain" else f"{kernel} {name}" if name == "sharpened" else _named(name, kernel)] = (
                variant(stack).astype(np.float32)
            )
    earlier_half, later_half = np.stack(later, axis=1)
    maps |= {"earlier half": earlier_half, "later half": later_half}
    maps["halves merged"] = merge([earlier_half, later_half]).astype(np.float32)
    maps |= {f"γ = {value:g}": each for value, each in zip(GAMMAS, np.stack(by_gamma, axis=1), strict=True)}
    return maps


def choose(selection: Sequence[Trial]) -> list[Proposal]:
    """The best variant, γ per layer, and the layers merged."""
    layers = selection[0].layers

    def score(candidate: str, layer: str) -> float:
        return float(np.mean([trial.scores[candidate, layer][ORDINAL_ROWS].mean() for trial in selection]))

    def over_layers(candidate: str) -> float:
        return float(np.mean([score(candidate, layer) for layer in layers]))

    gammas = [SAM, *(name for name in selection[0].candidates if name.startswith("γ = "))]
    variants = [name for name in selection[0].candidates if name not in (*CONTROLS, *gammas)]
    best = max(variants, key=over_layers)
    tuned = [(max(gammas, key=lambda name: score(name, layer)), layer) for layer in layers]
    best_layer = max(layers, key=lambda layer: score(SAM, layer))
    merged = max(map(_merged, MERGING), key=lambda name: score(name, MERGED))
    return [
        Proposal(best, [(best, layer) for layer in layers], layers),
        Proposal(TUNED, tuned, layers),
        Proposal(merged, [(merged, MERGED)], [best_layer]),
    ]


def claims_of(proposal: Proposal, report: Sequence[Trial]) -> list[Claim]:
    """Against SAM and spike count, under every condition."""
    claims = []
    for trial in report:
        for control in (SAM, COUNT):
            gains = proposal.gain(trial, control)
            ours = " / ".join(with_interval(each) for each in gains)
            what = f"{trial.condition}: {describe(proposal)} finds the object better than {control}"
            claims.append(Claim(what, "has SAM alone", ours, joint(gains), gains[0].n))
    return claims


def describe(proposal: Proposal) -> str:
    """The proposal, with what was chosen for it."""
    if proposal.name == TUNED:
        chosen = (f"{layer[4:]} {'as configured' if name == SAM else name}" for name, layer in proposal.maps)
        return f"{TUNED} ({', '.join(chosen)})"
    return proposal.name


def conclusion(proposal: Proposal, report: Sequence[Trial]) -> str:
    """Whether it wins clearly, as a sentence."""
    gains = {control: [proposal.gain(trial, control) for trial in report] for control in (SAM, COUNT)}
    means = {
        control: float(np.mean([[each.mean for each in gain] for gain in found])) for control, found in gains.items()
    }
    average = " and ".join(f"{mean:+.3f} from {control}" for control, mean in means.items())
    if {joint(gain) for found in gains.values() for gain in found} != {"yes"}:
        return f"{describe(proposal)}: does not win clearly ({average} on average)."
    if min(means.values()) < WORTH_HAVING:
        return f"{describe(proposal)}: better under every condition, but by less than is worth having ({average})."
    return f"{describe(proposal)}: wins clearly, under every condition and over both ({average} on average)."


def table(trial: Trial, proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
    """Every candidate and proposal averaged over layers, and every layer by itself: mean, and difference from SAM."""
    found = {(candidate, "mean"): trial.mean_over_layers(candidate) for candidate in trial.candidates}
    found |= trial.scores
    for proposal in proposals:
        found[proposal.name, "chosen"] = np.mean([trial.scores[key] for key in proposal.maps], axis=0)
    base = {layer: trial.scores[SAM, layer] for layer in trial.layers}
    base |= {"mean": trial.mean_over_layers(SAM), "chosen": trial.mean_over_layers(SAM)}
    base[MERGED] = trial.scores[SAM, trial.layers[-1]]
    rows = []
    for (candidate, layer), scores in found.items():
        for measure, own, sam in zip(SCORED, scores, base[layer], strict=True):
            difference = paired_difference(own, sam)
            rows.append(
                {
                    "split": trial.split,
                    "condition": trial.condition,
                    "candidate": candidate,
                    "layer": layer[4:] if layer in trial.layers else layer,
                    "measure": measure,
                    "mean": float(own.mean()),
                    "difference_from_sam": difference.mean,
                    "low": difference.low,
                    "high": difference.high,
                    "n": difference.n,
                }
            )
    return rows


def draw(study: Study, selection: Sequence[Trial], report: Sequence[Trial], proposals: Sequence[Proposal]) -> None:
    """The gain of every candidate, and maps of some."""
    candidates = [name for name in report[0].candidates if name != SAM and not name.endswith("counts")]
    if proposals[0].name not in candidates:
        candidates.append(proposals[0].name)
    values = {}
    for trial in (*selection, *report):
        sam = trial.mean_over_layers(SAM)
        for candidate in candidates:
            for measure, own, other in zip(SCORED, trial.mean_over_layers(candidate), sam, strict=True):
                values[measure, trial.condition, candidate, trial.split] = paired_difference(own, other)[1:]
    draw_intervals(
        study.out / "variants.png",
        "Label-free variants: what each gains over SAM",
        f"{study.images.name}; mean over layers of the paired difference from SAM, 95 % interval; chosen: "
        f"{proposals[0].name}",
        [*ORDINAL, "energy in object"],
        [trial.condition for trial in report],
        candidates,
        ["selection", "validation"],
        values,
        reference=0,
    )
    draw_examples(study, proposals[0].name)


def draw_examples(study: Study, chosen: str) -> None:
    """Maps of some variants beside SAM, at the deepest layer."""
    with RasterReader(study.recording(study.surrogate.network, study.images)) as raster:
        layer = study.layers(raster)[-1]
        maps = candidate_maps(raster, layer, study.settings.gamma)
    columns = list(dict.fromkeys([SAM, COUNT, "channel mean", "image-selective", "unusual", chosen]))
    rows = []
    for image in range(min(study.settings.shown, len(study.images))):
        picture = study.images.picture(image) if study.settings.show_images else None
        rows.append(MapRow(f"image {image + 1}", [maps[name][image] for name in columns], picture, each=True))
    headings = [name.replace(", ", ",\n") for name in columns]
    title = f"SAM and label-free variants at {layer[4:]}"
    draw_maps(study.out / "variants_maps.png", title, "each map relative to its own maximum", headings, rows)


def _named(variant: str, kernel: str) -> str:
    return variant if kernel == SAM else f"{variant}, counts"


def _merged(candidate: str) -> str:
    return f"{candidate}, layers merged"


def _scores(maps: NDArray[np.floating[Any]], images: ImageSet, known: list[int]) -> NDArray[np.float64]:
    return np.stack([scores for _, scores in score_maps(maps, images, known)])
