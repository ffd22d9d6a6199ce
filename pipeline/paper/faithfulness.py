"""Does the network use what a map marks? Insertion and deletion curves (Petsiuk et al. 2018); not in the paper.

Pixels are deleted from the image, or inserted into a blurred one, in the order of a map; the network's probability of
its own answer should fall fast, or rise fast. The network is the fixed-point one; one set of random numbers drives
it for every version of an image. Maps are summed over the steps that can still change the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from backends.available import make_backend
from backends.network.quantise import quantise
from pipeline.drawing.curves import draw_curves
from pipeline.images.encoding import encode
from pipeline.measures.faithfulness import Faithfulness, Score, faithfulness, random_faithfulness
from pipeline.measures.localisation import centred_gaussian
from pipeline.measures.tables import difference, measured, rows, summary, values
from recordings.raster.reader import RasterReader

from .study.ann import reference_maps
from .study.claims import Claim, verdict, with_interval
from .study.heatmaps import count_maps, sam_maps, snn_grad_cams
from .study.images import ImageSet
from .study.result import Result
from .study.study import Study

RANDOM, GAUSSIAN = "random order", "centred Gaussian"
ORDERS = 3  # random orders of each image
DELETION, INSERTION = "deletion area", "insertion area"
Curves = dict[str, NDArray[np.float64]]  # map -> (N, 2, K + 1): deletion and insertion


def run(study: Study) -> Result:
    """Delete, insert, and compare the areas under the curves."""
    images = study.images.take(study.settings.curves)
    found = curves(study, images)
    fractions = found.pop("fractions")
    areas = pd.concat(
        [
            measured(area, map=name, measure=measure)
            for name, both in found.items()
            for measure, area in zip((DELETION, INSERTION), trapezoid(both, fractions, axis=2).T, strict=True)
        ]
    )
    draw(study, fractions, found)
    notes = (
        "Deletion: lower is better; insertion: higher is better. Deleted pixels become the mean colour; insertion "
        "starts from a blurred image.",
    )
    claims = claims_of(areas, study.settings.seed)
    title = "Faithfulness: does the network use what a map marks?"
    return Result(title, summary(areas, study.settings.seed), claims, notes)


def claims_of(areas: pd.DataFrame, seed: int) -> list[Claim]:
    """Every map against a random order, and against a Gaussian at the centre."""
    claims = []
    for name in areas["map"].unique():
        for rival in (RANDOM, GAUSSIAN):
            if name in (RANDOM, rival):
                continue
            for measure in (DELETION, INSERTION):
                own, other = (rows(areas, map=each, measure=measure) for each in (name, rival))
                # A smaller deletion area is better, a larger insertion area.
                gain = difference(other, own, seed) if measure == DELETION else difference(own, other, seed)
                means = f"{name} {values(own).mean():.3g}, {rival} {values(other).mean():.3g}"
                ours = f"{means}; better by {with_interval(gain)}"
                what = f"{name}: better {measure.removesuffix(' area')} than {rival}"
                claims.append(Claim(what, "–", ours, verdict(gain), gain.n))
    return claims


def curves(study: Study, images: ImageSet) -> Curves:
    """Both curves of every map, and the fractions of the pixels at which they are taken; cached."""
    network, settings = quantise(study.networks.surrogate.network), study.settings
    backend = make_backend("auto", settings.device)

    def score(image: int) -> Score:
        def logits(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
            found: list[NDArray[Any]] = []
            for start in range(0, len(pixels), 16):
                batch = pixels[start : start + 16]
                inputs = encode(network, batch, settings.seed, np.repeat(images.indices[image], len(batch)))
                found.extend(result.readout for result in backend.run(network, [inputs], len(batch)))
            return np.concatenate(found) * (network.readout.scale / network.timesteps)

        return logits

    def compute() -> dict[str, NDArray[np.float64]]:
        found: dict[str, list[Faithfulness]] = {}
        with study.progress("insertion and deletion", len(images)) as advance:
            for image, maps in enumerate(maps_of(study, images)):
                pixels, seed = images.pixels[image], settings.seed + ORDERS * image
                for name, each in maps.items():
                    found.setdefault(name, []).append(faithfulness(score(image), pixels, each, seed=seed))
                chance = random_faithfulness(score(image), pixels, repeats=ORDERS, seed=seed)
                found.setdefault(RANDOM, []).append(chance)
                advance(1)
        stacked = {
            name: np.array([[curve.deletion, curve.insertion] for curve in of_map]) for name, of_map in found.items()
        }
        return stacked | {"fractions": found[RANDOM][0].fractions}

    inputs = {
        "network": network.sha256,
        "ann": study.networks.ann.network.sha256,
        "images": images.sha256,
        "layers": list(settings.layers),
        "gamma": settings.gamma,
        "seed": settings.seed,
        "random orders": ORDERS,
    }
    return study.stages.arrays("faithfulness", inputs, compute)


def maps_of(study: Study, images: ImageSet) -> Iterator[Mapping[str, NDArray[np.floating[Any]]]]:
    """Per image, one map of each kind, of any size."""
    gamma = study.settings.gamma
    reference = reference_maps(study, images)
    with RasterReader(study.recording(study.networks.surrogate.network, images)) as raster:
        layers = study.layers(raster)
        gradients = snn_grad_cams(study, images, raster)
        for image in range(len(images)):
            maps: dict[str, NDArray[np.floating[Any]]] = {
                f"SAM {layer}": sam_maps(raster, layer, image, gamma).sum(axis=0) for layer in layers
            }
            last = layers[-1]
            maps[f"spike count {last}"] = count_maps(raster, last, image).sum(axis=0)
            maps[f"SNN Grad-CAM {last}"] = gradients[last][image].sum(axis=0)
            maps["Grad-CAM of the ANN"] = reference[image]
            maps["brightness"] = np.abs(images.pixels[image]).mean(axis=0)
            maps[GAUSSIAN] = centred_gaussian(images.size)
            yield maps


def draw(study: Study, fractions: NDArray[np.float64], found: Curves) -> None:
    """Both curves of every map, mean over images."""
    panels = ("deletion (lower is better)", "insertion (higher is better)")
    points = pd.concat(
        [
            pd.DataFrame({"panel": panel, "curve": name, "x": fractions, "mean": both[:, which].mean(axis=0)})
            for which, panel in enumerate(panels)
            for name, both in found.items()
        ]
    )
    subtitle = f"mean of {len(next(iter(found.values())))} images; pixels in the order of each map"
    title, axes = "Does the network use what a map marks?", ("share of the pixels", "probability of the answer")
    draw_curves(study.out / "faithfulness.png", title, subtitle, points, *axes)
