"""Fig. 9, and Fig. 7: accuracy against attack strength, and how far heatmaps move: the SNN is the
more robust in both.

The paper attacks the ANN with FGSM and the SNN with SNN-crafted FGSM, plots accuracy against ε, and
compares the normalised L1 distance between clean and attacked heatmaps, Grad-CAM for the ANN and
SAM for the SNN. Its Fig. 7 shows such maps (the strength is lost from its text): here after an
iterated attack as strong as `paper.strong_epsilon`, where answers change, for that a map stays
under an attack that changes nothing says little.

Both networks are measured here on one set of images, and beside it what a reader would object:

* A network whose gradient is useless looks robust to attacks by its own gradient. So each network
  is also shown the images attacked through the other, and the comparison is repeated with the worst
  of all attacks for each image.
* The networks do not start from one accuracy. So the fall is measured on the images that both get
  right when clean: per image, the share of the range of ε at which the answer stays right (the area
  under its curve).
* One step along the gradient is the weakest attack. So each network is also attacked in steps
  (PGD), whose loss is the mean over Poisson seeds that the answers do not use. The SNN's answers
  are means over seeds as well.
* Random signs of equal strength are the control: what an attack does beyond noise.
* SAM moves by itself, from Poisson seed to seed. The attack's shift is measured with one seed
  before and after; the shift between two seeds on the clean image stands beside it.
* Grad-CAM is one map, SAM one per step, sparse and noisy. So the distance is taken step by step and
  for the maps summed over steps, and also between maps that sum to 1, which does not reward
  sparseness (:func:`mass_shift`). It is taken where few answers change (`paper.shift_epsilon`),
  and, iterated, where many do (`paper.strong_epsilon`).

The SNN is attacked through its float32 network, in one step knowing the first seed; it answers in
fixed point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from paper.common.ann import ann_predictions, reference_maps
from paper.common.attacks import ABOUT, Through, attacked, strengths
from paper.common.heatmaps import Maps, at_steps, convolutions, row_of_maps, sam_maps
from paper.common.images import ImageSet
from paper.common.result import Claim, Result, compared
from paper.common.setup import Setup
from paper.measures.maps import heatmap_shift, mass_shift, min_max
from paper.measures.tables import (
    measured,
    minus,
    rows,
    summary,
    summary_of_differences,
    summary_of_shares,
    values,
)
from spikesam import InputError, RasterReader
from spikesam.figures import CurveOptions, Row, draw_curves, draw_maps, thinned

OWN = {"ANN": ABOUT["ann"], "SNN": ABOUT["snn"]}  # each network's own attack
ITERATED = {"ANN": ABOUT["ann-iterated"], "SNN": ABOUT["snn-iterated"]}
COLOURS = {"ANN": "#c8553d", "SNN": "#1f5a99"}
CLAIM = "the SNN's accuracy falls more slowly"
SHIFT, SHARE_OF_SUM = "heatmap shift", "mass shift, summed over steps"
MEASURES: Mapping[str, Callable[[Maps, Maps], float]] = {
    SHIFT: heatmap_shift,
    "heatmap shift, summed over steps": lambda before, after: heatmap_shift(
        before.sum(axis=0), after.sum(axis=0)
    ),
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
NOTES = (
    "Each network is attacked through its own gradient. Grad-CAM is for the true class before and "
    "after. Where images are drawn, they are those attacked through the SNN; the ANN's differ from "
    "them by at most 2ε a pixel.",
)


def run(setup: Setup) -> Result:
    """Attack, measure and draw."""
    settings = setup.settings
    epsilons, epsilon, strong, seed = (
        strengths(setup),
        settings.shift_epsilon,
        settings.strong_epsilon,
        settings.seed,
    )
    right, shifts = answers(setup, epsilons), heatmap_shifts(setup)
    accuracies, moved = accuracy_table(right, seed), summary(shifts, seed)
    draw_accuracy(setup, accuracies)
    draw_shifts(setup, moved)
    ann, snn = (
        values(right, network=name, change=OWN[name], epsilon=0).mean() for name in ("ANN", "SNN")
    )
    notes = (
        *(
            note_on_noise(moved, measure, each)
            for each in (epsilon, strong)
            for measure in (SHIFT, SHARE_OF_SUM)
        ),
        note_on_gradients(accuracies),
        f"The clean accuracy is {ann:.0%} (ANN) and {snn:.0%} (SNN). The fall is compared on the "
        "images that both networks get right when clean. The share of the range of ε survived is "
        "the area under the curve of right "
        "answers. The table has all images at every ε.",
        f"Pixels changed at ε = {epsilon:g}: {share_changed(setup, 'ann'):.0%} through the ANN, "
        f"{share_changed(setup, 'snn'):.0%} through the SNN. Where an input saturates there is no "
        "gradient.",
    )
    claims = [
        *accuracy_claims(right, seed),
        *shift_claims(shifts, epsilon, seed),
        *shift_claims(shifts, strong, seed),
        *shift_claims(shifts, strong, seed, iterated=True),
    ]
    title, every = "Fig. 9: accuracy and heatmaps under attack", pd.concat([right, shifts])
    beside = {"fig7": seen(setup, shifts)}
    return Result(title, pd.concat([accuracies, moved]), claims, notes, every, beside=beside)


def share_changed(setup: Setup, through: Through) -> float:
    """Share of the pixels that an attack changes."""
    return float(
        (
            attacked(setup, through, setup.settings.shift_epsilon).pixels != setup.images.pixels
        ).mean()
    )


def answers(setup: Setup, epsilons: Sequence[float]) -> pd.DataFrame:
    """Right answers, 1 or 0, of both networks under every attack; of the SNN the mean over
    `paper.attack_seeds`.
    """
    known = np.flatnonzero(setup.images.labels >= 0)
    if not known.size:
        raise InputError(
            f"{setup.images.name}: got images without classes, expected labelled ones; use class "
            "folders"
        )
    parts = []
    for through, change in ABOUT.items():
        for epsilon in epsilons:
            images = attacked(setup, through, epsilon)
            right = {
                "ANN": ann_predictions(setup, images) == images.labels,
                "SNN": right_over_seeds(setup, images),
            }
            for network, of_network in right.items():
                names = {
                    "measure": "accuracy",
                    "network": network,
                    "map": "",
                    "layer": "",
                    "change": change,
                }
                parts.append(measured(of_network[known], known.tolist(), **names, epsilon=epsilon))
    return pd.concat(parts)


def right_over_seeds(setup: Setup, images: ImageSet) -> NDArray[np.float64]:
    """In what share of the Poisson seeds the SNN answers right: (N,)."""
    found = []
    for seed in range(setup.settings.seed, setup.settings.seed + setup.settings.attack_seeds):
        with RasterReader(
            setup.recording(setup.networks.surrogate.network, images, seed=seed)
        ) as raster:
            found.append(raster.predictions == images.labels)
    return np.mean(found, axis=0)


def accuracy_table(right: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Accuracy of both networks under every attack, and how far they are apart under their own, at
    every strength.
    """
    tables = [summary_of_shares(right)]
    for attacks, told in (
        (OWN, "each attacked through itself"),
        (ITERATED, "each attacked through itself, iterated"),
    ):
        ann, snn = (
            rows(right, network=network, change=change) for network, change in attacks.items()
        )
        tables.append(
            summary_of_differences(
                minus(snn, ann, "epsilon").assign(network="SNN − ANN", change=told), seed
            )
        )
    return pd.concat(tables)


def accuracy_claims(right: pd.DataFrame, seed: int) -> list[Claim]:
    """The SNN falls more slowly: under its own attack, in one step or iterated, and under the worst
    for each image.
    """
    every = [*OWN.values(), *ITERATED.values()]
    attacks = {
        "each network attacked through itself": {name: [change] for name, change in OWN.items()},
        "each network attacked through itself, iterated": {
            name: [change] for name, change in ITERATED.items()
        },
        "each image under the worst of all attacks": dict.fromkeys(OWN, every),
    }
    claims = []
    for told, changes in attacks.items():
        ann, snn = (hits(right, network, changes[network]) for network in ("ANN", "SNN"))
        claims.append(robustness_claim(f"share of the range of ε survived, {told}", ann, snn, seed))
    return claims


def hits(right: pd.DataFrame, network: str, changes: Sequence[str]) -> pd.DataFrame:
    """How surely a network is right under all of these attacks: a row per image, a column per
    strength, ascending.
    """
    found = rows(right, network=network)
    found = found[found["change"].isin(changes)]
    return found.groupby(["image", "epsilon"])["value"].min().unstack()


def robustness_claim(
    what: str,
    ann: pd.DataFrame,
    snn: pd.DataFrame,
    seed: int,
    names: tuple[str, str] = ("ANN", "SNN"),
) -> Claim:
    """Compare the areas under the curves of the images that both networks get right when clean."""
    both = (ann[0.0] == 1) & (snn[0.0] == 1)
    if not both.any():
        return Claim(what, CLAIM, "no image that both networks get right", "cannot say", 0)
    areas = {
        name: measured(survived(hits[both].to_numpy(), hits.columns.tolist()))
        for name, hits in zip(reversed(names), (snn, ann), strict=True)
    }
    return compared(what, CLAIM, areas, seed)


def survived(right: NDArray[Any], epsilons: Sequence[float]) -> NDArray[np.float64]:
    """Area under right(ε), (N, strengths), by the trapezoidal rule, as a share of the range of ε:
    (N,) in 0 … 1.
    """
    area: NDArray[np.float64] = trapezoid(right.astype(float), epsilons) / (
        epsilons[-1] - epsilons[0]
    )
    return area


def note_on_gradients(accuracies: pd.DataFrame) -> str:
    """Test whether a network looks robust only because its own gradient is useless."""
    strongest = rows(accuracies, epsilon=accuracies["epsilon"].max())
    last = strongest.set_index(["network", "change"])["mean"].map("{:.0%}".format)
    through_ann, through_snn = OWN["ANN"], OWN["SNN"]
    return (
        f"At ε = {accuracies['epsilon'].max():g} the ANN is right on {last['ANN', through_ann]} of "
        f"the images attacked through itself and on {last['ANN', through_snn]} of those attacked "
        "through the SNN. The SNN is right on "
        f"{last['SNN', through_snn]} attacked through itself and on {last['SNN', through_ann]} "
        "attacked through the ANN. Iterated attacks through itself leave "
        f"{last['ANN', ITERATED['ANN']]} of the ANN's "
        f"answers and {last['SNN', ITERATED['SNN']]} of the SNN's. If the other network's attack "
        "were the stronger one, a network "
        "would look robust only because its own gradient is misleading."
    )


def draw_accuracy(setup: Setup, table: pd.DataFrame) -> None:
    """A panel per attack, a colour per network."""
    accuracies = rows(table, measure="accuracy")
    parts = [
        rows(accuracies, network=network, change=change).assign(
            panel=panel, curve=network, colour=COLOURS[network]
        )
        for panel, changes in (
            ("own attack, one step", OWN),
            ("own attack, iterated", ITERATED),
            ("attack made for the other", {"ANN": OWN["SNN"], "SNN": OWN["ANN"]}),
            ("random signs", dict.fromkeys(OWN, ABOUT["noise"])),
        )
        for network, change in changes.items()
    ]
    points = pd.concat(parts).rename(columns={"epsilon": "x"})
    points[["mean", "low", "high"]] *= 100
    about = f"{accuracies['n'].max()} images; bands: 95 % interval"
    axes = ("ε, in the 0 … 1 range of a pixel", "accuracy, %")
    options = CurveOptions(width=2.2, limits=(0, 100))
    draw_curves(
        setup.out / "fig9.png", "Accuracy against attack strength", about, points, *axes, options
    )


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
                    sam_shifts(setup, before, after, layer).assign(change=change, epsilon=epsilon)
                    for layer in layers
                ]
    return pd.concat(parts)[
        ["image", "measure", "network", "map", "layer", "change", "epsilon", "value"]
    ]


def grad_cam_shifts(before: Maps, after: Maps) -> pd.DataFrame:
    """Shift of the ANN's Grad-CAM (N, h, w) of every image: image, measure, network, map, layer,
    value.
    """
    both = [(one[None], other[None]) for one, other in zip(before, after, strict=True)]
    parts = [
        measured(
            [shift(*maps) for maps in both], measure=name, network="ANN", map="Grad-CAM", layer=""
        )
        for name, shift in MEASURES.items()
    ]
    return pd.concat(parts)


def sam_shifts(setup: Setup, before: RasterReader, after: RasterReader, layer: str) -> pd.DataFrame:
    """Shift of SAM of every image, in one layer: image, measure, network, map, layer, value."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    with setup.progress(f"shift of SAM at {layer}", before.n_samples) as advance:
        for image in range(before.n_samples):
            one, other = (
                sam_maps(raster, layer, image, setup.settings.gamma) for raster in (before, after)
            )
            for name, shift in MEASURES.items():
                found[name].append(shift(one, other))
            advance(1)
    names = {"network": "SNN", "map": "SAM", "layer": layer}
    return pd.concat([measured(values, measure=name, **names) for name, values in found.items()])


def shift_claims(
    shifts: pd.DataFrame, epsilon: float, seed: int, iterated: bool = False
) -> list[Claim]:
    """SAM moves less than Grad-CAM: by the paper's measure in every layer, by the others where
    sizes are equal.
    """
    layers = rows(shifts, map="SAM")["layer"].unique()
    asked = [(layer, SHIFT) for layer in layers] + [
        (layers[-1], name) for name in MEASURES if name != SHIFT
    ]
    attack = f"iterated attack, ε = {epsilon:g}" if iterated else f"ε = {epsilon:g}"
    return [
        compared(
            f"{measure} at {attack}, Grad-CAM of the ANN against SAM {layer}",
            "SAM moves less",
            own_shifts(
                rows(shifts, measure=measure, epsilon=epsilon), layer, ITERATED if iterated else OWN
            ),
            seed,
        )
        for layer, measure in asked
    ]


def own_shifts(
    shifts: pd.DataFrame, layer: str, attacks: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """Shifts of Grad-CAM, and of SAM in one layer, each network attacked through itself."""
    grad_cam = rows(shifts, map="Grad-CAM", change=attacks["ANN"])
    return {
        "Grad-CAM": grad_cam,
        "SAM": rows(shifts, map="SAM", layer=layer, change=attacks["SNN"]),
    }


def note_on_noise(table: pd.DataFrame, measure: str, epsilon: float) -> str:
    """References for the shift under attack."""
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
        f"Noise floor, {measure}, ε = {epsilon:g}: when only the Poisson seed changes, and not the "
        f"image, SAM {layer} moves by {by_change['SAM'][RESEEDED]:.4f}. With the seed kept it "
        f"moves by {told['SAM']}. "
        f"Grad-CAM, which has no seed, moves by {told['Grad-CAM']}."
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
    about = f"mean of {found['n'].max()} images, 95 % interval"
    options = CurveOptions(limits=(0.0, 1.05 * points["high"].max()))
    draw_curves(
        setup.out / "fig9_shift.png", "How far heatmaps move", about, points, "", "shift", options
    )


def seen(setup: Setup, shifts: pd.DataFrame) -> Result:
    """Fig. 7: the maps of some images before and after an iterated attack, and by how much those of
    all move.
    """
    epsilon, network, clean = (
        setup.settings.strong_epsilon,
        setup.networks.surrogate.network,
        setup.images,
    )
    for_ann, for_snn = (
        attacked(setup, "ann-iterated", epsilon),
        attacked(setup, "snn-iterated", epsilon),
    )
    with (
        RasterReader(setup.recording(network, clean)) as before,
        RasterReader(setup.recording(network, for_snn)) as after,
    ):
        layer = convolutions(before)[-1]
        steps = thinned(before.steps_that_matter(layer), 7, first=before.layer(layer).number)
        shown = (
            rows_of(setup, "clean", clean, clean, before, layer, steps),
            rows_of(setup, "attacked", for_ann, for_snn, after, layer, steps),
        )
    draw_maps(
        setup.out / "fig7.png",
        f"Maps before and after an attack, ε = {epsilon:g}",
        f"Grad-CAM of the ANN and SAM of the SNN at {layer}, each map stretched to 0 … 1, and what "
        "each answers",
        ["Grad-CAM", *(f"SAM t={step}" for step in steps)],
        [row for both in zip(*shown, strict=True) for row in both],
    )
    moved = own_shifts(rows(shifts, measure=SHIFT, epsilon=epsilon), layer, ITERATED)
    what = (
        f"normalised L1 shift, iterated attack, ε = {epsilon:g}, Grad-CAM of the ANN against "
        f"SAM at {layer}"
    )
    paper = "Grad-CAM changes much, SAM hardly (seen, not measured)"
    claim = compared(what, paper, moved, setup.settings.seed)
    every = pd.concat(moved.values())[["image", "map", "epsilon", "value"]]
    table = summary(every, setup.settings.seed)
    return Result("Fig. 7: maps before and after an attack", table, [claim], NOTES, every)


def rows_of(
    setup: Setup,
    state: str,
    for_ann: ImageSet,
    for_snn: ImageSet,
    raster: RasterReader,
    layer: str,
    steps: list[int],
) -> list[Row]:
    """One row per shown image: Grad-CAM, then SAM at some steps,
    over the image that the SNN gets.
    """
    names, grad_cams = setup.class_names, min_max(reference_maps(setup, for_ann))
    answers: dict[str, NDArray[Any]] = {
        "ANN": ann_predictions(setup, for_ann),
        "SNN": raster.predictions,
    }
    grid = []
    for image in range(min(setup.settings.shown, len(for_snn))):
        truth = for_snn.labels[image]
        said = [
            f"{network} ✓" if answer[image] == truth else f"{network} ✗ {names[answer[image]]}"
            for network, answer in answers.items()
        ]
        maps = min_max(sam_maps(raster, layer, image, setup.settings.gamma))
        picture = for_snn.picture(image) if setup.settings.show_images else None
        subject = names[truth] if truth >= 0 else "unknown"
        label = "\n".join([f"{subject}, {state}", *said])
        grid.append(
            row_of_maps(label, [grad_cams[image], *at_steps(maps, steps)], picture, each=True)
        )
    return grid
