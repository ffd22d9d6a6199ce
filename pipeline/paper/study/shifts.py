"""How far heatmaps move when their images are attacked, and how far SAM moves by itself, from Poisson seed to seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.measures.attention import heatmap_shift, mass_shift
from pipeline.measures.statistics import bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .attacked import ABOUT, attacked
from .heatmaps import Maps, convolutions, sam_maps
from .result import Claim, verdict, with_interval
from .study import Study

STEPWISE, SHARE = "heatmap shift", "mass shift, summed over steps"
MEASURES: Mapping[str, Callable[[Maps, Maps], float]] = {
    STEPWISE: heatmap_shift,
    "heatmap shift, summed over steps": lambda before, after: heatmap_shift(before.sum(axis=0), after.sum(axis=0)),
    "mass shift": mass_shift,
    SHARE: lambda before, after: mass_shift(before.sum(axis=0), after.sum(axis=0)),
}
RESEEDED = "another Poisson seed"
BRIEFLY = {ABOUT["ann"]: "ANN's attack", ABOUT["snn"]: "SNN's attack", ABOUT["noise"]: "random signs"}

Measured = Mapping[str, NDArray[np.float64]]  # measure -> one per image
Shifts = Mapping[tuple[str, str], Measured]  # map, change of the image -> measured


def heatmap_shifts(study: Study) -> Shifts:
    """How far Grad-CAM and the SAM of some layers move, at `shift_epsilon` or with another seed."""
    epsilon, network, clean = study.settings.shift_epsilon, study.surrogate.network, study.images
    changed = {about: attacked(study, through, epsilon) for through, about in ABOUT.items()}
    found: dict[tuple[str, str], Measured] = {}
    for change, images in changed.items():
        found["Grad-CAM", change] = grad_cam_shifts(study.reference(clean), study.reference(images))
    recordings = {change: study.recording(network, images) for change, images in changed.items()}
    recordings[RESEEDED] = study.recording(network, clean, seed=study.settings.seed + 1)
    with RasterReader(study.recording(network, clean)) as before:
        layers = [name for name in before if name in {*study.layers(before), convolutions(before)[-1]}]
        for change, path in recordings.items():
            with RasterReader(path) as after:
                for layer in layers:
                    found[f"SAM {layer}", change] = sam_shifts(study, before, after, layer)
    return found


def grad_cam_shifts(before: Maps, after: Maps) -> Measured:
    """Of every image; a Grad-CAM is one map, so that summing over steps changes nothing. Both are (N, h, w)."""
    pairs = [(one[None], other[None]) for one, other in zip(before, after, strict=True)]
    return {name: np.array([measure(*pair) for pair in pairs]) for name, measure in MEASURES.items()}


def sam_shifts(study: Study, before: RasterReader, after: RasterReader, layer: str) -> Measured:
    """Of every image, in one layer."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    with study.progress(f"shift of SAM at {layer}", before.n_samples) as advance:
        for image in range(before.n_samples):
            maps = [sam_maps(raster, layer, image, study.settings.gamma) for raster in (before, after)]
            for name, measure in MEASURES.items():
                found[name].append(measure(maps[0], maps[1]))
            advance(1)
    return {name: np.array(values) for name, values in found.items()}


def shift_rows(shifts: Shifts, epsilon: float, seed: int) -> list[dict[str, Any]]:
    """Mean shift of every map under every change, by every measure."""
    rows = []
    for (of, change), measured in shifts.items():
        strength = 0.0 if change == RESEEDED else epsilon
        for measure, values in measured.items():
            about = {"measure": measure, "of": of, "change": change, "epsilon": strength}
            rows.append(about | bootstrap_mean(values, seed)._asdict())
    return rows


def shift_claims(shifts: Shifts, epsilon: float, seed: int) -> list[Claim]:
    """SAM moves less than Grad-CAM: by the paper's measure in every layer, by the others where sizes are the same."""
    sams = sam_names(shifts)
    asked = [(sam, STEPWISE) for sam in sams] + [(sams[-1], name) for name in MEASURES if name != STEPWISE]
    return [shift_claim(shifts, sam, measure, epsilon, seed) for sam, measure in asked]


def shift_claim(shifts: Shifts, sam: str, measure: str, epsilon: float, seed: int) -> Claim:
    """Each network attacked through itself."""
    grad_cam, other = shifts["Grad-CAM", ABOUT["ann"]][measure], shifts[sam, ABOUT["snn"]][measure]
    difference = paired_difference(grad_cam, other, seed)
    return Claim(
        f"{measure} at ε = {epsilon:g}, Grad-CAM of the ANN against {sam}",
        "SAM moves less",
        f"Grad-CAM {grad_cam.mean():.3f}, SAM {other.mean():.3f}; Grad-CAM − SAM {with_interval(difference)}",
        verdict(difference),
        difference.n,
    )


def sam_names(shifts: Shifts) -> Sequence[str]:
    """ "SAM conv2", …, in order of depth; the last one has the size of Grad-CAM."""
    return list(dict.fromkeys(of for of, _ in shifts if of != "Grad-CAM"))


def note_on_noise(shifts: Shifts, measure: str) -> str:
    """What the shift under attack has to be read against."""
    sam = sam_names(shifts)[-1]
    means = {key: measured[measure].mean() for key, measured in shifts.items()}
    kinds = {of: ", ".join(f"{means[of, about]:.4f} ({brief})" for about, brief in BRIEFLY.items()) for of, _ in shifts}
    return (
        f"Noise floor, {measure}: when only the Poisson seed changes, and not the image, {sam} moves by "
        f"{means[sam, RESEEDED]:.4f}. With the seed kept it moves by {kinds[sam]}; Grad-CAM, which has no seed, by "
        f"{kinds['Grad-CAM']}."
    )


def draw_shifts(study: Study, shifts: Shifts) -> None:
    """A group per map, a colour per change."""
    points = [
        {"panel": measure, "curve": label, "x": name} | bootstrap_mean(found[measure], study.settings.seed)._asdict()
        for change, label in {**BRIEFLY, RESEEDED: "other Poisson seed"}.items()
        for (name, of_change), found in shifts.items()
        if of_change == change
        for measure in (STEPWISE, SHARE)
    ]
    about = f"ε = {study.settings.shift_epsilon:g}; mean of {len(study.images)} images, 95 % interval"
    draw_curves(study.out / "fig9_shift.png", "How far heatmaps move", about, pd.DataFrame(points), "", "shift")
