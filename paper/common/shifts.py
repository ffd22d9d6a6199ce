"""How far heatmaps move when their images are attacked, and how far SAM moves by itself, from Poisson seed to seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from paper.common.ann import reference_maps
from paper.common.attacked import ABOUT, attacked
from paper.common.claims import Claim, compared
from paper.common.heatmaps import Maps, convolutions, sam_maps
from paper.common.setup import Setup
from paper.measures.shift import heatmap_shift, mass_shift
from paper.measures.tables import measured, rows
from spikesam.pipeline.drawing.curves import draw_curves
from spikesam.recordings.raster.reader import RasterReader

SHIFT, SHARE_OF_SUM = "heatmap shift", "mass shift, summed over steps"
MEASURES: Mapping[str, Callable[[Maps, Maps], float]] = {
    SHIFT: heatmap_shift,
    "heatmap shift, summed over steps": lambda before, after: heatmap_shift(before.sum(axis=0), after.sum(axis=0)),
    "mass shift": mass_shift,
    SHARE_OF_SUM: lambda before, after: mass_shift(before.sum(axis=0), after.sum(axis=0)),
}
RESEEDED = "another Poisson seed"
BRIEFLY = {
    ABOUT["ann"]: "ANN's attack",
    ABOUT["snn"]: "SNN's attack",
    ABOUT["ann-iterated"]: "ANN's, iterated",
    ABOUT["snn-iterated"]: "SNN's, iterated",
    ABOUT["noise"]: "random signs",
}


def heatmap_shifts(setup: Setup) -> pd.DataFrame:
    """How far Grad-CAM and the SAM of some layers move, at either strength or with another seed."""
    settings, network, clean = setup.settings, setup.networks.surrogate.network, setup.images
    changed = {
        (about, epsilon): attacked(setup, through, epsilon)
        for epsilon in sorted({settings.shift_epsilon, settings.strong_epsilon})
        for through, about in ABOUT.items()
    }
    recordings = {change: setup.recording(network, images) for change, images in changed.items()}
    recordings[RESEEDED, 0.0] = setup.recording(network, clean, seed=settings.seed + 1)
    parts = [
        grad_cam_shifts(reference_maps(setup, clean), reference_maps(setup, images)).assign(
            change=change, epsilon=epsilon
        )
        for (change, epsilon), images in changed.items()
    ]
    with RasterReader(setup.recording(network, clean)) as before:
        chosen = {*setup.layers(before), convolutions(before)[-1]}
        layers = [layer for layer in convolutions(before) if layer in chosen]
        for (change, epsilon), path in recordings.items():
            with RasterReader(path) as after:
                parts += [
                    sam_shifts(setup, before, after, layer).assign(change=change, epsilon=epsilon) for layer in layers
                ]
    return pd.concat(parts)[["image", "measure", "network", "map", "layer", "change", "epsilon", "value"]]


def grad_cam_shifts(before: Maps, after: Maps) -> pd.DataFrame:
    """Shift of the ANN's Grad-CAM of every image: image, measure, network, map, layer, value.

    A Grad-CAM is one map, so that summing over steps changes nothing. Both are (N, h, w).
    """
    both = [(one[None], other[None]) for one, other in zip(before, after, strict=True)]
    parts = [
        measured([shift(*maps) for maps in both], measure=name, network="ANN", map="Grad-CAM", layer="")
        for name, shift in MEASURES.items()
    ]
    return pd.concat(parts)


def sam_shifts(setup: Setup, before: RasterReader, after: RasterReader, layer: str) -> pd.DataFrame:
    """Shift of SAM of every image, in one layer: image, measure, network, map, layer, value."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    with setup.progress(f"shift of SAM at {layer}", before.n_samples) as advance:
        for image in range(before.n_samples):
            one, other = (sam_maps(raster, layer, image, setup.settings.gamma) for raster in (before, after))
            for name, shift in MEASURES.items():
                found[name].append(shift(one, other))
            advance(1)
    names = {"network": "SNN", "map": "SAM", "layer": layer}
    return pd.concat([measured(values, measure=name, **names) for name, values in found.items()])


def shift_claims(shifts: pd.DataFrame, epsilon: float, seed: int, iterated: bool = False) -> list[Claim]:
    """SAM moves less than Grad-CAM: by the paper's measure in every layer, by the others where sizes are equal."""
    layers = rows(shifts, map="SAM")["layer"].unique()
    asked = [(layer, SHIFT) for layer in layers] + [(layers[-1], name) for name in MEASURES if name != SHIFT]
    of_strength = rows(shifts, epsilon=epsilon)
    return [shift_claim(rows(of_strength, measure=measure), layer, epsilon, seed, iterated) for layer, measure in asked]


def shift_claim(shifts: pd.DataFrame, layer: str, epsilon: float, seed: int, iterated: bool = False) -> Claim:
    """By one measure in one layer, each network attacked through itself."""
    ann, snn = (ABOUT["ann-iterated"], ABOUT["snn-iterated"]) if iterated else (ABOUT["ann"], ABOUT["snn"])
    grad_cam = rows(shifts, map="Grad-CAM", change=ann)
    sam = rows(shifts, map="SAM", layer=layer, change=snn)
    attack = f"iterated attack, ε = {epsilon:g}" if iterated else f"ε = {epsilon:g}"
    what = f"{shifts['measure'].iloc[0]} at {attack}, Grad-CAM of the ANN against SAM {layer}"
    return compared(what, "SAM moves less", {"Grad-CAM": grad_cam, "SAM": sam}, seed)


def note_on_noise(table: pd.DataFrame, measure: str, epsilon: float) -> str:
    """What the shift under attack has to be read against."""
    found = rows(table, measure=measure)
    found = found[found["epsilon"].isin([0.0, epsilon])]
    layer = rows(found, map="SAM")["layer"].iloc[-1]
    latest = found.drop_duplicates(["map", "change"], keep="last").set_index("change")
    by_change = {name: rows(latest, map=name)["mean"] for name in ("SAM", "Grad-CAM")}
    told = {
        name: ", ".join(f"{each[change]:.4f} ({brief})" for change, brief in BRIEFLY.items())
        for name, each in by_change.items()
    }
    return (
        f"Noise floor, {measure}, ε = {epsilon:g}: when only the Poisson seed changes, and not the image, SAM {layer} "
        f"moves by {by_change['SAM'][RESEEDED]:.4f}. With the seed kept it moves by {told['SAM']}. Grad-CAM, which has "
        f"no seed, moves by {told['Grad-CAM']}."
    )


def draw_shifts(setup: Setup, table: pd.DataFrame) -> None:
    """A group per map, a colour per change."""
    found = table[table["measure"].isin([SHIFT, SHARE_OF_SUM])]
    floor, strengths = rows(found, change=RESEEDED), sorted(set(found["epsilon"]) - {0.0})
    points = pd.concat(
        [
            part
            for measure in (SHIFT, SHARE_OF_SUM)
            for epsilon in strengths
            for part in (
                rows(found, measure=measure, epsilon=epsilon),
                rows(floor, measure=measure).assign(epsilon=epsilon),
            )
        ]
    )
    points = points.assign(
        panel=points["measure"] + points["epsilon"].map(",\nε = {:g}".format),
        curve=points["change"].map({**BRIEFLY, RESEEDED: "other Poisson seed"}),
        x=(points["map"] + " " + points["layer"]).str.strip(),
    )
    about = f"mean of {len(setup.images)} images, 95 % interval"
    draw_curves(setup.out / "fig9_shift.png", "How far heatmaps move", about, points, "", "shift")
