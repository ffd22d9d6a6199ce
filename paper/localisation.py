"""Beyond the paper: does the map find the object where the centre prior is powerless?

Objects of photographs are centred, and their boxes are large. There a Gaussian at the centre, which
has not seen the image, points at the object nine times in ten. So maps are also measured under
conditions where this guess fails (:mod:`paper.common.conditions`), and beside simpler maps:

* the plain spike count of the layer: SAM (γ as configured) must be better, or its kernel adds
  nothing;
* the ANN twin's Grad-CAM at its last convolution, which is told the class of the object;
* the spike count of the encoded input, which needs no training: where it finds the object, the
  object is easy to find;
* three blind maps: a centred box of the object's area, a centred Gaussian, random 8×8 maps (the
  mean of five draws).

Measures: pointing game, energy in the object, IoU above half the maximum, IoU of as many pixels as
the object has (`pipeline/measures/localisation.py`), of maps summed over the steps whose spikes can
still change the answer. Claims rest on the first and the last, in which a sharper map gains nothing
(spikes squared have more energy in the object than spikes). Differences are paired over images. Two
sentences of the paper are read as claims about images as they are: surrogate-trained networks have
the more interpretable maps (§ 5.3), and deep layers show the whole object (§ 5.4).

On canvases the converted network is given 128 steps, which takes a quarter of the time, and its
accuracy there is in the table. Some subsets of the images are also scored by themselves. Under
every condition: the images that the network gets right. Under the condition "as is" also halves of
the images: those with a smaller or a larger object, and those with an object nearer to or farther
from the centre.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from paper.common.ann import reference_maps
from paper.common.heatmaps import convolutions, score_maps, time_sums
from paper.common.images import ImageSet
from paper.common.intervals import draw_intervals
from paper.common.result import Claim, Result, Verdict, compared, verdict, with_interval
from paper.common.scenes import Scenes, inverted, mosaics, paste, widen, with_decoys
from paper.common.setup import Setup
from paper.measures.inference import bootstrap_mean, paired_p_value
from paper.measures.tables import groups, mean_of, measured, paired, rows, summary_of_shares
from spikesam import Network, RasterReader
from spikesam.measures import Map, centred_box, centred_gaussian
from spikesam.statistics import Estimate

ORDINAL = ("pointing game", "IoU at the object's area")  # a sharper map is no better in these
CANVAS_STEPS = 128
DRAWS = 5  # random maps of each image
INPUT, GRAD_CAM, ANY_OF_FOUR = "untrained input", "ANN Grad-CAM", "SAM, mean of the four"
BLIND = ("centred box", "centred Gaussian", "random")
METHODS = ("SAM", "spike count", ANY_OF_FOUR, GRAD_CAM, INPUT, *BLIND)
BASELINES = ("spike count", INPUT, "centred Gaussian", GRAD_CAM, ANY_OF_FOUR)
COLUMNS = ["image", "network", "condition", "subset", "layer", "method", "measure", "value"]
TITLE = "Beyond the paper: does the map find the object where the centre prior is powerless?"
AS_IS, TEXTURE = "as is", "pasted on texture"
PREDICTED, ALL_OBJECTS = "four images: predicted", "four images: any"
DECOYS, DECOY_SIDE = 4, 0.15  # how many, share of the image's side


def run(setup: Setup) -> Result:
    """Measure."""
    found = conditions(setup, setup.images)
    parts = [
        score_condition(setup, network, condition).assign(network=name, condition=condition.name)
        for name, network in setup.networks.both.items()
        for condition in found
    ]
    measured = pd.concat([*parts, recognition_of_negatives(setup)])[COLUMNS]
    table = summary_of_shares(measured)
    scores = measured[(measured["measure"] != "accuracy") & (measured["subset"] == "all")]
    if scores.empty:
        claim = Claim(
            "the map finds the object", "assumed", "no image has a box or mask", "cannot say", 0
        )
        return Result(TITLE, table, [claim], ["Without boxes or masks only accuracy can be told."])
    deepest = scores[scores["method"] == "SAM"]["layer"].iloc[-1]
    shown = scores[scores["layer"].isin(["", deepest])]
    draw(setup, summary_of_shares(shown), deepest)
    claims = [
        claim for _, each in groups(shown, ["network", "condition"]) for claim in claims_of(each)
    ]
    claims += claims_on_layers(rows(scores, condition=AS_IS, method="SAM"), setup.settings.layers)
    every = rows(
        measured, subset="all"
    )  # of which the claims are; the others would more than double the file
    return Result(TITLE, table, claims, NOTES, every)


NOTES = (
    "Differences are SAM minus the other, at the deepest convolution shown, paired over images: "
    "pointing game / IoU at "
    "the object's area. “yes”: SAM is better by one of them at least and worse by neither (95 % "
    "intervals exclude 0). "
    "“no”: SAM is worse by one at least and better by neither. “cannot say”: the two contradict "
    "each other. The paper "
    "assumes that maps show what matters; it has no such numbers.",
    "SAM prefers the predicted image: its score on that image's object minus its mean score on all "
    "four.",
    "ANN Grad-CAM is told the class. Of four images it is told the predicted one, or the class of "
    "one of them.",
    f"On canvases twice as wide and high the converted network is given {CANVAS_STEPS} steps.",
)


def score_condition(setup: Setup, network: Network, condition: Condition) -> pd.DataFrame:
    """Record, and score every method: image, subset, layer, method, measure, value; accuracy stands
    at the top.
    """
    images = condition.images
    if images.size != network.input_shape[1:]:
        network = widen(
            replace(network, timesteps=min(network.timesteps, steps_on_canvas(network))),
            *images.size,
        )
    path = setup.recording(network, images)
    with RasterReader(path) as raster:
        layers = list(dict.fromkeys([convolutions(raster)[0], *setup.layers(raster)]))
        inputs = [spec.name for spec in raster.layers if spec.kind == "input"]
        predictions = raster.predictions
    right, labelled = recognised(condition, predictions), np.flatnonzero(images.labels >= 0)
    accuracy = measured(
        right[labelled], labelled.tolist(), subset="all", layer="", method="", measure="accuracy"
    )
    asked = condition.asked(predictions)
    known = [image for image, mask in enumerate(asked.masks) if mask is not None and mask.any()]
    if not known:
        return accuracy
    sums, parts = time_sums(setup, path, [*inputs, *layers]), []
    for layer in layers:
        sam, count = sums[layer]
        parts += [score_maps(sam, asked, known).assign(layer=layer, method="SAM")]
        parts += [score_maps(count, asked, known).assign(layer=layer, method="spike count")]
        if condition.parts is not None and condition.predicted:
            parts.append(
                mean_of_parts(sam, condition.parts, known).assign(layer=layer, method=ANY_OF_FOUR)
            )
    unlayered = {GRAD_CAM: score_maps(reference_maps(setup, asked), asked, known)}
    unlayered |= {method: blind(method, asked, known, setup.settings.seed) for method in BLIND}
    if inputs:
        unlayered = {INPUT: score_maps(sums[inputs[0]][1], asked, known)} | unlayered
    parts += [each.assign(layer="", method=method) for method, each in unlayered.items()]
    scores = pd.concat(parts)
    subsets = {"all": np.array(known), "recognised": np.flatnonzero(right)}
    if condition.name == AS_IS:
        subsets |= strata(asked, known)
    chosen = [
        scores[scores["image"].isin(of)].assign(subset=subset) for subset, of in subsets.items()
    ]
    return pd.concat([accuracy, *chosen])


def steps_on_canvas(network: Network) -> int:
    """All of a trained network, whose normalisation belongs to its steps; a converted one may stop
    at any.
    """
    rows = (
        (layer.spiking_neuron.bias, *(each.gain for each in layer.inputs))
        for layer in network.layers
    )
    constant = all(len(each) == 1 for of_layer in rows for each in of_layer)
    return CANVAS_STEPS if constant else network.timesteps


def recognised(condition: Condition, predictions: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """(N,): whether the prediction is right; of several images side by side, that it is the class
    of one.
    """
    if condition.parts is not None:
        return (condition.parts.labels == predictions[:, None]).any(axis=1)
    return condition.images.labels == predictions


def recognition_of_negatives(setup: Setup) -> pd.DataFrame:
    """Accuracy on photographic negatives, where objects have shapes: why contrast cannot be
    randomised that way.
    """
    if not has_shapes(setup.images):
        return pd.DataFrame(columns=COLUMNS)
    images = inverted(setup.images)
    with RasterReader(setup.recording(setup.networks.surrogate.network, images)) as raster:
        right = raster.predictions == images.labels
    names = {
        "network": "surrogate",
        "condition": "negatives",
        "subset": "all",
        "layer": "",
        "method": "",
    }
    return measured(right, **names, measure="accuracy")


def claims_of(scores: pd.DataFrame) -> list[Claim]:
    """SAM against every other method, for one network under one condition, at the deepest layer."""
    where = f"{scores['network'].iloc[0]}, {scores['condition'].iloc[0]}"
    claims = []
    for baseline in (baseline for baseline in BASELINES if baseline in set(scores["method"])):
        apart = [
            paired(*(rows(scores, method=method, measure=measure) for method in ("SAM", baseline)))
            for measure in ORDINAL
        ]
        gains = [bootstrap_mean(each) for each in apart]
        what, paper = (
            ("SAM prefers the predicted image", "settles on it late")
            if baseline == ANY_OF_FOUR
            else (f"SAM finds the object better than {baseline}", "assumed")
        )
        ours = " / ".join(with_interval(each) for each in gains)
        p = min(
            1.0, len(gains) * min(paired_p_value(each) for each in apart)
        )  # Bonferroni: one of them is enough
        claims.append(Claim(f"{where}: {what}", paper, ours, joint(gains), gains[0].n, p=p))
    return claims


def claims_on_layers(sam: pd.DataFrame, layers: Sequence[str]) -> list[Claim]:
    """SAM of the surrogate-trained network against the converted one's, layer by layer, and of its
    last layer.
    """
    layers = layers or list(sam["layer"].unique())
    networks = ("surrogate", "converted")
    tests = [
        (
            f"{layer}: SAM of the surrogate network",
            "the converted one",
            "more interpretable",
            [(n, layer) for n in networks],
        )
        for layer in layers
    ]
    if len(layers) > 1:
        ends, paper = (
            [("surrogate", layers[end]) for end in (-1, 0)],
            "deep layers show the whole object",
        )
        tests.append((f"surrogate: SAM of {layers[-1]}", f"that of {layers[0]}", paper, ends))
    return [
        compared(
            f"{what} finds the object better than {rival}: {measure}",
            paper,
            {
                f"{name}, {layer}": rows(sam, measure=measure, network=name, layer=layer)
                for name, layer in both
            },
        )
        for what, rival, paper, both in tests
        for measure in ORDINAL
    ]


def joint(differences: Iterable[Estimate]) -> Verdict:
    """One verdict from several measures: yes if one says so and none contradicts; "cannot say" if
    they contradict.
    """
    found = {verdict(each) for each in differences}
    if "cannot say" in found or {"yes", "no"} <= found:
        return "cannot say"
    return "yes" if "yes" in found else "no" if "no" in found else "no difference seen"


def draw(setup: Setup, table: pd.DataFrame, layer: str) -> None:
    """Every method under every condition, at the deepest layer."""
    points = table.rename(columns={"measure": "row", "condition": "column", "network": "series"})
    points = points.sort_values(
        "method", key=lambda methods: methods.map(METHODS.index), kind="stable"
    )
    draw_intervals(
        setup.out / "localisation.png",
        "Does the map find the object where the centre prior is powerless?",
        f"{setup.images.name}, {len(setup.images)} images; mean and 95 % interval; SAM and spike "
        f"count at {layer}",
        points,
    )


@dataclass(frozen=True, eq=False)
class Condition:
    """Images, and which object in them is asked for."""

    name: str
    images: ImageSet
    parts: Scenes | None = None  # of images side by side
    # the object of the predicted class among the parts is asked for, not that of `images`
    predicted: bool = False

    def asked(self, predictions: NDArray[np.integer[Any]]) -> ImageSet:
        """The images with the label and object that are asked for; no mask where the question makes
        no sense.
        """
        return (
            self.parts.about(predictions)
            if self.parts is not None and self.predicted
            else self.images
        )


def conditions(setup: Setup, images: ImageSet) -> list[Condition]:
    """All conditions that these images allow. Canvases are twice as high and wide as the images.

    * as is
    * pasted on mean: the whole image on a canvas of the mean colour, at a random place, its object
      off the centre
    * pasted on texture: likewise, on a canvas with the spectrum of another image but without its
      shapes
    * four images side by side, all of different classes: the object is that of the predicted class,
      or any of the four
    * among decoys: pieces of other objects, as bright, beside the object (where objects have
      shapes, not boxes)
    """
    height, width = (2 * side for side in images.size)
    seed = setup.settings.seed
    found = [
        Condition(AS_IS, images),
        Condition("pasted on mean", paste(images, height, width, seed)),
        Condition(TEXTURE, paste(images, height, width, seed, "texture")),
    ]
    if len(set(images.labels.tolist()) - {-1}) >= 4:
        mosaic = mosaics(images, 2, 2, seed)
        found += [
            Condition(PREDICTED, mosaic.images, mosaic, predicted=True),
            Condition(ALL_OBJECTS, mosaic.images, mosaic),
        ]
    if has_shapes(images):
        decoys = with_decoys(images, DECOYS, max(1, round(DECOY_SIDE * min(images.size))), seed)
        found.append(Condition("among decoys", decoys))
    return found


def has_shapes(images: ImageSet) -> bool:
    """True if the masks are the objects' own shapes, at least two of them, and not boxes."""
    known = [mask for mask in images.masks if mask is not None]
    return len(known) > 1 and not any(
        all(mask[box].all() for box in find_objects(mask, 1) if box) for mask in known
    )


def mean_of_parts(maps: Iterable[Map], scenes: Scenes, known: list[int]) -> pd.DataFrame:
    """Every measure averaged over the objects of a scene: what a map scores that favours none of
    them.
    """
    stack = list(maps)
    return mean_of([score_maps(stack, scenes.about(labels), known) for labels in scenes.labels.T])


def blind(method: str, images: ImageSet, known: list[int], seed: int) -> pd.DataFrame:
    """Every measure of a map that has not seen the image, one of :data:`BLIND`; a box has the
    object's area.
    """
    size = images.size
    if method == "random":
        random = np.random.default_rng(seed)
        return mean_of(
            [score_maps(random.random((len(images), 8, 8)), images, known) for _ in range(DRAWS)]
        )
    gaussian = centred_gaussian(size)
    areas = [0 if mask is None else int(mask.sum()) for mask in images.masks]
    maps = [
        centred_box(size, area) if method == "centred box" and area else gaussian for area in areas
    ]
    return score_maps(maps, images, known)


def strata(images: ImageSet, known: list[int]) -> dict[str, NDArray[np.int64]]:
    """Halves by the object's area, and by how far its bounding box is from the image's centre: name
    -> images.
    """
    areas, distances = [], []
    for mask in (images.masks[image] for image in known):
        assert mask is not None
        areas.append(mask.sum())
        (box,) = find_objects(mask, 1)
        offsets = [
            (side.start + side.stop - length) / 2
            for side, length in zip(box, mask.shape, strict=True)
        ]
        distances.append(math.hypot(*offsets))
    small, near = np.array(areas) <= np.median(areas), np.array(distances) <= np.median(distances)
    halves = {
        "smaller": small,
        "larger": ~small,
        "nearer the centre": near,
        "off the centre": ~near,
    }
    return {name: np.array(known)[chosen] for name, chosen in halves.items()}
