"""Does the network use what a map marks? Insertion and deletion curves (Petsiuk et al. 2018); not in the paper.

Pixels are deleted from the image, or inserted into a blurred one, in the order of a map; the network's probability of
its own answer should fall fast, or rise fast. The network is the fixed-point one, driven by the same random numbers for
every version of an image. Maps are summed over the steps that can still change the answer.
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
from pipeline.measures.statistics import bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .study.heatmaps import count_maps, sam_maps, snn_grad_cams
from .study.images import ImageSet
from .study.result import Claim, Result, verdict, with_interval
from .study.study import Study

RANDOM, GAUSSIAN = "random order", "centred Gaussian"
ORDERS = 3  # random orders of each image
Curves = dict[str, NDArray[np.float64]]  # method -> (N, 2, K + 1): deletion and insertion


def run(study: Study) -> Result:
    """Delete, insert, and compare the areas under the curves."""
    settings = study.settings
    images = study.images.take(settings.curves)
    curves = _curves(study, images)
    fractions = curves.pop("fractions")
    areas = {method: trapezoid(found, fractions, axis=2) for method, found in curves.items()}
    table = [
        {"map": method, "measure": f"{name} area"} | bootstrap_mean(areas[method][:, which], settings.seed)._asdict()
        for method in areas
        for which, name in enumerate(("deletion", "insertion"))
    ]
    claims = []
    for method in areas:
        for rival in (RANDOM, GAUSSIAN):
            if method in (RANDOM, rival):
                continue
            for which, (name, sign) in enumerate((("deletion", -1), ("insertion", 1))):
                gain = paired_difference(sign * areas[method][:, which], sign * areas[rival][:, which], settings.seed)
                ours = f"{areas[method][:, which].mean():.3g} against {areas[rival][:, which].mean():.3g}"
                what = f"{method}: better {name} than {rival}"
                claims.append(Claim(what, "–", f"{ours}; better by {with_interval(gain)}", verdict(gain), len(images)))
    _draw(study, fractions, curves)
    notes = (
        "Deletion: lower is better; insertion: higher. Deleted pixels become the mean colour; insertion starts from a "
        "blurred image.",
    )
    return Result("Faithfulness: does the network use what a map marks?", table, claims, notes)


def _curves(study: Study, images: ImageSet) -> Curves:
    network, settings = quantise(study.surrogate.network), study.settings
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
            for image, maps in enumerate(_maps(study, images)):
                pixels, seed = images.pixels[image], settings.seed + ORDERS * image
                for method, each in maps.items():
                    curve = faithfulness(score(image), pixels, each, seed=seed)
                    found.setdefault(method, []).append(curve)
                chance = random_faithfulness(score(image), pixels, repeats=ORDERS, seed=seed)
                found.setdefault(RANDOM, []).append(chance)
                advance(1)
        stacked = {
            method: np.array([[curve.deletion, curve.insertion] for curve in curves])
            for method, curves in found.items()
        }
        return stacked | {"fractions": found[RANDOM][0].fractions}

    inputs = {
        "network": network.sha256,
        "ann": study.ann.sha256,
        "images": images.sha256,
        "layers": list(settings.layers),
        "gamma": settings.gamma,
        "seed": settings.seed,
        "random orders": ORDERS,
    }
    return study.arrays("faithfulness", inputs, compute)


def _maps(study: Study, images: ImageSet) -> Iterator[Mapping[str, NDArray[np.floating[Any]]]]:
    """Per image, one map of each kind, of any size."""
    gamma = study.settings.gamma
    reference = study.reference(images)
    with RasterReader(study.recording(study.surrogate.network, images)) as raster:
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


def _draw(study: Study, fractions: NDArray[np.float64], curves: Curves) -> None:
    panels = ("deletion (lower is better)", "insertion (higher is better)")
    parts = [
        pd.DataFrame({"panel": panel, "curve": method, "x": fractions, "mean": found[:, which].mean(axis=0)})
        for which, panel in enumerate(panels)
        for method, found in curves.items()
    ]
    subtitle = f"mean of {len(next(iter(curves.values())))} images; pixels in the order of each map"
    title, axes = "Does the network use what a map marks?", ("share of the pixels", "probability of the answer")
    draw_curves(study.out / "faithfulness.png", title, subtitle, pd.concat(parts), *axes)
