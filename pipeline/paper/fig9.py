"""Fig. 9: accuracy against attack strength, and how far heatmaps move: the SNN is the more robust in both.

The paper attacks the ANN with FGSM and the SNN with SNN-crafted FGSM, plots accuracy against ε, and compares the
normalised L1 distance between clean and attacked heatmaps, Grad-CAM for the ANN and SAM for the SNN.

Measured here on the same images for both networks, and beside it what a reader would object:

* A network whose gradient is useless looks robust to attacks by its own gradient. So each network is also shown the
  images attacked through the other, and the comparison is repeated with the worse of the two for each image.
* The networks do not start from the same accuracy. So the fall is measured on the images that both get right when
  clean: per image, the share of the range of ε at which the answer stays right (the area under its curve).
* Random signs of the same strength are the control: what an attack does beyond noise.
* SAM moves by itself, from Poisson seed to seed. The attack's shift is measured with the same seed before and after;
  that between two seeds on the same image stands beside it.
* Grad-CAM is one map, SAM one per step, sparse and noisy. So the distance is taken step by step and for the maps summed
  over steps, and also between maps that sum to 1, which does not reward sparseness (see :mod:`.shifts`).

The SNN is attacked through its float32 network, knowing the encoder's seed; it answers in fixed point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.measures.statistics import Estimate, bootstrap_mean, paired_difference
from recordings.reader import RasterReader

from .attacked import ABOUT, Through, attacked, strengths
from .drawing import Curve, Panel, draw_curves
from .heatmaps import convolutions
from .images import ImageSet
from .lab import Lab
from .predictions import ann_predictions
from .result import Claim, Result, verdict, with_interval
from .shifts import MEASURES, STEPWISE, grad_cam_shifts, sam_shifts

Right = dict[tuple[str, Through], NDArray[np.bool_]]  # network, attack -> (N, strengths)
Shifts = dict[tuple[str, str], dict[str, NDArray[np.float64]]]  # map, change -> measure -> (N,)

OWN: dict[str, Through] = {"ANN": "ann", "SNN": "snn"}
LINES: dict[tuple[str, Through], str] = {
    ("ANN", "ann"): "-",
    ("SNN", "snn"): "-",
    ("ANN", "snn"): "--",
    ("SNN", "ann"): "--",
    ("ANN", "noise"): ":",
    ("SNN", "noise"): ":",
}
COLOURS = {"ANN": "#c8553d", "SNN": "#1f5a99"}
RESEEDED = "another Poisson seed"


def run(lab: Lab) -> Result:
    """Attack, measure and draw."""
    epsilons = strengths(lab)
    right = answers(lab, epsilons)
    shifts, layers = heatmap_shifts(lab)
    table = [*accuracy_rows(right, epsilons, lab.settings.seed), *shift_rows(shifts, lab)]
    claims = [*accuracy_claims(right, epsilons, lab.settings.seed), *shift_claims(shifts, layers, lab)]
    draw_accuracy(lab, right, epsilons)
    draw_shifts(lab, shifts)
    return Result("Fig. 9: accuracy and heatmaps under attack", table, claims, notes(lab, shifts, layers))


def answers(lab: Lab, epsilons: tuple[float, ...]) -> Right:
    """Which images are answered correctly, by either network, at every strength of every attack."""
    found = {line: np.zeros((len(lab.images), len(epsilons)), np.bool_) for line in LINES}
    for column, epsilon in enumerate(epsilons):
        for through in ABOUT:
            images = attacked(lab, through, epsilon)
            with RasterReader(lab.recording(lab.surrogate.network, images)) as raster:
                found["SNN", through][:, column] = raster.predictions == images.labels
            found["ANN", through][:, column] = ann_predictions(lab, images) == images.labels
    return found


def heatmap_shifts(lab: Lab) -> tuple[Shifts, list[str]]:
    """How far Grad-CAM and the SAM of some layers move at `shift_epsilon`; and those layers, the last one last."""
    epsilon, network, clean = lab.settings.shift_epsilon, lab.surrogate.network, lab.images
    changed = {ABOUT[through]: attacked(lab, through, epsilon) for through in ABOUT}
    found: Shifts = {}
    for change, images in changed.items():
        found["Grad-CAM", change] = grad_cam_shifts(lab.reference(clean), lab.reference(images))
    recordings = {change: lab.recording(network, images) for change, images in changed.items()}
    recordings[RESEEDED] = lab.recording(network, clean, seed=lab.settings.seed + 1)
    with RasterReader(lab.recording(network, clean)) as before:
        layers = sorted({*lab.layers(before), convolutions(before)[-1]})
        for change, path in recordings.items():
            with RasterReader(path) as after:
                for layer in layers:
                    found[f"SAM {layer[4:]}", change] = sam_shifts(lab, before, after, layer)
    return found, layers


def accuracy_rows(right: Right, epsilons: tuple[float, ...], seed: int) -> list[dict[str, Any]]:
    """Accuracy of every line, and how much higher the SNN's is under its own attack, at every strength."""
    rows = []
    for (network, through), hits in right.items():
        for epsilon, column in zip(epsilons, hits.T, strict=True):
            rows.append(row("accuracy", network, ABOUT[through], epsilon, bootstrap_mean(column, seed)))
    pairs = zip(epsilons, right["SNN", "snn"].T, right["ANN", "ann"].T, strict=True)
    for epsilon, snn, ann in pairs:
        difference = paired_difference(snn, ann, seed)
        rows.append(row("accuracy", "SNN less ANN", "each attacked through itself", epsilon, difference))
    return rows


def shift_rows(shifts: Shifts, lab: Lab) -> list[dict[str, Any]]:
    """Mean shift of every map under every change, by every measure."""
    epsilon, seed = lab.settings.shift_epsilon, lab.settings.seed
    return [
        row(measure, shown, change, 0.0 if change == RESEEDED else epsilon, bootstrap_mean(values, seed))
        for (shown, change), measures in shifts.items()
        for measure, values in measures.items()
    ]


def row(measure: str, of: str, change: str, epsilon: float, estimate: Estimate) -> dict[str, Any]:
    """For the table."""
    return {"measure": measure, "of": of, "change": change, "epsilon": epsilon, **estimate._asdict()}


def accuracy_claims(right: Right, epsilons: tuple[float, ...], seed: int) -> list[Claim]:
    """The SNN falls more slowly, under attacks by its own gradient and under the worse of two."""
    own = {network: right[network, through] for network, through in OWN.items()}
    worse = {network: right[network, "ann"] & right[network, "snn"] for network in OWN}
    paper = "the SNN's accuracy falls more slowly"
    return [
        robustness_claim("share of the ε range survived, each attacked through itself", paper, own, epsilons, seed),
        robustness_claim("the same, the worse of both attacks", paper, worse, epsilons, seed),
    ]


def robustness_claim(
    what: str, paper: str, right: dict[str, NDArray[np.bool_]], epsilons: tuple[float, ...], seed: int
) -> Claim:
    """Area under the curve of the images that both networks get right when clean, paired."""
    both = right["ANN"][:, 0] & right["SNN"][:, 0]
    if not both.any():
        return Claim(what, paper, "no image that both networks get right", "cannot say", 0)
    areas = {network: survived(hits[both], epsilons) for network, hits in right.items()}
    difference = paired_difference(areas["SNN"], areas["ANN"], seed)
    ours = ", ".join(f"{network} {area.mean():.2f}" for network, area in areas.items())
    return Claim(what, paper, f"{ours}; SNN − ANN {with_interval(difference)}", verdict(difference), difference.n)


def survived(right: NDArray[np.bool_], epsilons: tuple[float, ...]) -> NDArray[np.float64]:
    """Area under right(ε) by the trapezoidal rule, as a share of the range of ε: (N, strengths) -> (N,) in 0 … 1."""
    widths = np.diff(epsilons)
    area: NDArray[np.float64] = (right[:, 1:].astype(float) + right[:, :-1]) / 2 @ widths / widths.sum()
    return area


def shift_claims(shifts: Shifts, layers: list[str], lab: Lab) -> list[Claim]:
    """SAM moves less than Grad-CAM: by the paper's measure in every layer, by the others where sizes are the same."""
    asked = [(layer, STEPWISE) for layer in layers] + [(layers[-1], name) for name in MEASURES if name != STEPWISE]
    claims = []
    for layer, measure in asked:
        grad_cam = shifts["Grad-CAM", ABOUT["ann"]][measure]
        sam = shifts[f"SAM {layer[4:]}", ABOUT["snn"]][measure]
        difference = paired_difference(grad_cam, sam, lab.settings.seed)
        claims.append(
            Claim(
                f"{measure} at ε = {lab.settings.shift_epsilon:g}, Grad-CAM of the ANN against SAM at {layer[4:]}",
                "SAM moves less",
                f"Grad-CAM {grad_cam.mean():.3f}, SAM {sam.mean():.3f}; Grad-CAM − SAM {with_interval(difference)}",
                verdict(difference),
                difference.n,
            )
        )
    return claims


def notes(lab: Lab, shifts: Shifts, layers: list[str]) -> list[str]:
    """What the claims have to be read with."""
    last = f"SAM {layers[-1][4:]}"
    sam = {change: measures[STEPWISE].mean() for (shown, change), measures in shifts.items() if shown == last}
    grad_cam = {
        change: measures[STEPWISE].mean() for (shown, change), measures in shifts.items() if shown == "Grad-CAM"
    }
    return [
        "Noise floor: the SAM of one clean image at "
        f"{layers[-1][4:]} moves by {sam[RESEEDED]:.3f} when only the Poisson seed changes, by {sam[ABOUT['snn']]:.3f} "
        f"when the image is attacked and the seed is kept, by {sam[ABOUT['ann']]:.3f} when it is attacked through the "
        f"ANN, and by {sam[ABOUT['noise']]:.3f} under random signs. Grad-CAM moves by {grad_cam[ABOUT['ann']]:.3f}, "
        f"{grad_cam[ABOUT['snn']]:.3f} through the SNN, and {grad_cam[ABOUT['noise']]:.3f} under random signs.",
        "Accuracy is compared on images that both networks get right when clean, ε from 0 to the largest, by the area "
        "under the curve; the table has accuracy over all images at every ε.",
        f"Pixels changed at ε = {lab.settings.shift_epsilon:g}: {share_changed(lab, 'ann'):.0%} through the ANN, "
        f"{share_changed(lab, 'snn'):.0%} through the SNN. Where the gradient is zero a pixel stays.",
    ]


def share_changed(lab: Lab, through: Through) -> float:
    """Share of the pixels that an attack changes."""
    images: ImageSet = attacked(lab, through, lab.settings.shift_epsilon)
    return float((images.pixels != lab.images.pixels).mean())


def draw_accuracy(lab: Lab, right: Right, epsilons: tuple[float, ...]) -> None:
    """Accuracy against ε: a colour per network, a line style per attack."""
    curves = []
    for (network, through), style in LINES.items():
        means = [bootstrap_mean(column, lab.settings.seed) for column in 100 * right[network, through].T.astype(float)]
        low, high = ([getattr(each, end) for each in means] if through != "noise" else None for end in ("low", "high"))
        mean = [each.mean for each in means]
        curves.append(Curve(f"{network}, {ABOUT[through]}", epsilons, mean, low, high, COLOURS[network], style))
    panel = Panel("", "ε, in the 0 … 1 range of a pixel", "accuracy, %", curves)
    about = f"{len(lab.images)} images; bands: 95 % interval"
    draw_curves(lab.out / "fig9.png", "Accuracy against attack strength", about, [panel])


def draw_shifts(lab: Lab, shifts: Shifts) -> None:
    """Shift of every map: a colour per change."""
    names = list(dict.fromkeys(shown for shown, _ in shifts))
    panels = []
    for measure in (STEPWISE, "mass shift, summed over steps"):
        curves = []
        for change in (*ABOUT.values(), RESEEDED):
            found = [
                (place, bootstrap_mean(shifts[name, change][measure], lab.settings.seed))
                for place, name in enumerate(names)
                if (name, change) in shifts
            ]
            places, means = zip(*found, strict=True)
            curves.append(
                Curve(change, places, *([getattr(each, key) for each in means] for key in Estimate._fields[1:]))
            )
        panels.append(Panel(measure, "", "shift", curves, [name.replace(" ", "\n") for name in names]))
    about = f"ε = {lab.settings.shift_epsilon:g}; mean of {len(lab.images)} images, 95 % interval"
    draw_curves(lab.out / "fig9_shift.png", "How far heatmaps move", about, panels)
