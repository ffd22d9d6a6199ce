"""Fig. 8: how the localisation error depends on γ, the decay of SAM's kernel.

The paper: for both networks the error is highest at γ = 0, where spikes of any age count alike; it rises again towards
γ = 1, where only recent ones do; it is lowest in between.

Measured: localisation error against the ANN's Grad-CAM, minimum over the steps that can still change the answer, for
every γ of the settings from one decoding of the raster. Which of the other γ is highest or lowest is chosen on every
second image and judged on those between, so that the choice cannot flatter itself. Whether the answer hangs on how the
error is taken is asked too: as a mean over steps, of the map summed over steps, and against the object itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.measures.attention import localisation_errors, lowest_errors
from pipeline.measures.maps import is_flat
from pipeline.measures.statistics import Estimate, bootstrap_mean, paired_difference
from recordings.errors import InputError

from .study.result import Claim, Result, Verdict, verdict, with_interval
from .study.study import Study
from .study.sweep import Maps, swept

PAPERS = "minimum over steps"
MEAN, SUM, OBJECT = "mean over steps", "of the sum over steps", "against the object"
Errors = dict[tuple[str, str, str], NDArray[np.float64]]  # (measure, network, layer) -> (N, G)


def run(study: Study) -> Result:
    """Sweep γ over the recordings of both networks."""
    gammas = tuple(sorted(set(study.settings.gammas)))
    if len(gammas) < 3:
        raise InputError(
            f"paper.gammas: got {len(gammas)} values, expected 3 or more; the claim is about those between"
        )
    reference = study.reference(study.images)
    errors: Errors = {}
    for name, checkpoint in (("surrogate", study.surrogate), ("converted", study.converted)):
        path = study.recording(checkpoint.network, study.images)
        for (measure, layer), of_layer in measure_errors(study, path, reference, gammas).items():
            errors[measure, name, layer] = of_layer
    estimates = {key: [bootstrap_mean(column) for column in of_layer.T] for key, of_layer in errors.items()}
    table = [
        {"measure": measure, "network": network, "layer": layer, "gamma": gamma, **estimate._asdict()}
        for (measure, network, layer), row in estimates.items()
        for gamma, estimate in zip(gammas, row, strict=True)
    ]
    _draw(study, gammas, {key[1:]: row for key, row in estimates.items() if key[0] == PAPERS})
    claims = [
        claim
        for (measure, network, layer), each in errors.items()
        if measure == PAPERS
        for claim in judge(f"{network}, {layer}", gammas, each)
    ]
    notes = [
        "A layer that never spikes has the error of a zero map at every γ. Which γ is highest or lowest elsewhere is "
        "chosen on one half of the images; differences and their n are those of the other half.",
        *(_otherwise(measure, gammas, errors) for measure in dict.fromkeys(key[0] for key in errors)),
    ]
    if OBJECT not in {key[0] for key in errors}:
        notes.append(f"Not measured {OBJECT}: not all images have a box or mask.")
    return Result("Fig. 8: localisation error against γ", table, claims, notes)


def measure_errors(
    study: Study, path: Path, reference: Maps, gammas: Sequence[float]
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """The paper's error and what could be meant by it instead, of every image: (measure, full layer name) -> (N, G).

    "Against the object" is there only where all images have a box or mask.
    """
    found: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    masks = [mask for mask in study.images.masks if mask is not None]
    known = len(masks) == len(study.images)
    for image, (of_image, layers) in enumerate(zip(reference, swept(study, path, gammas), strict=True)):
        for layer, maps in layers.items():
            each = {
                PAPERS: lowest_errors(maps, of_image),
                MEAN: mean_errors(maps, of_image),
                SUM: localisation_errors(maps.sum(axis=1), of_image),
            }
            if known:
                each[OBJECT] = lowest_errors(maps, masks[image].astype(np.float32))
            for measure, errors in each.items():
                found.setdefault((measure, layer), []).append(errors)
    return {key: np.stack(errors) for key, errors in found.items()}


def mean_errors(maps: Maps, reference: Maps) -> NDArray[np.float64]:
    """Mean over the steps that are not flat, (G,); the zero map's where all are."""
    flat = is_flat(maps)
    counted = ~flat | flat.all(axis=1, keepdims=True)
    return localisation_errors(maps, reference).mean(axis=1, where=counted)


def _otherwise(measure: str, gammas: Sequence[float], errors: Errors) -> str:
    parts = []
    for (name, network, layer), of_layer in errors.items():
        if name == measure:
            means = of_layer.mean(axis=0)
            low, high = gammas[int(means.argmin())], gammas[int(means.argmax())]
            parts.append(f"{network} {layer} {low:g} and {high:g}")
    return f"γ of the lowest and of the highest mean error, {measure}: {', '.join(parts)}."


def judge(where: str, gammas: Sequence[float], errors: NDArray[np.float64]) -> list[Claim]:
    """What the paper says of one curve: highest at the smallest γ, lowest in between, rising again.

    Parameters
    ----------
    where : network and layer
    gammas : G ≥ 3, ascending
    errors : (N, G)
    """
    choosing = errors[::2].mean(axis=0)
    judging = errors[1::2] if len(errors) > 1 else errors
    highest = judging[:, 1 + choosing[1:].argmax()]
    lowest = judging[:, 1 + choosing[1:-1].argmin()]
    above = paired_difference(judging[:, 0], highest)
    fall = paired_difference(judging[:, 0], lowest)
    rise = paired_difference(judging[:, -1], lowest)
    n = len(judging)
    means = errors.mean(axis=0)
    small, large = f"γ = {gammas[0]:g}", f"γ = {gammas[-1]:g}"
    best = int(means.argmin())
    return [
        Claim(
            f"{where}: error at {small}",
            "highest",
            f"{means[0]:.3g}, above the highest elsewhere by {with_interval(above)}",
            verdict(above),
            n,
        ),
        Claim(
            f"{where}: error between",
            "lowest",
            f"{means[best]:.3g} at γ = {gammas[best]:g}; between, lower than at {small} by {with_interval(fall)}",
            _both(fall, rise),
            n,
        ),
        Claim(
            f"{where}: error towards {large}",
            "rises again",
            f"{means[-1]:.3g}, above the lowest between by {with_interval(rise)}",
            verdict(rise),
            n,
        ),
    ]


def _both(fall: Estimate, rise: Estimate) -> Verdict:
    verdicts = {verdict(fall), verdict(rise)}
    if len(verdicts) == 1:
        return verdicts.pop()
    return "no" if "no" in verdicts else "no difference seen"


def _draw(study: Study, gammas: Sequence[float], estimates: dict[tuple[str, str], list[Estimate]]) -> None:
    points = [
        {"panel": network, "curve": layer, "x": gamma} | estimate._asdict()
        for (network, layer), row in estimates.items()
        for gamma, estimate in zip(gammas, row, strict=True)
    ]
    axes = ("γ (1/step)", "localisation error (nats)")
    subtitle = f"mean over {len(study.images)} images and 95 % interval; smaller is nearer to the ANN's Grad-CAM"
    draw_curves(study.out / "fig8.png", "Localisation error against γ", subtitle, pd.DataFrame(points), *axes)
