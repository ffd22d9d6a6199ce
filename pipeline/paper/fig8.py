"""Fig. 8: how the localisation error depends on γ, the decay of SAM's kernel.

The paper: for both networks the error is highest at γ = 0, where spikes of any age count alike; it rises again towards
γ = 1, where only recent ones do; it is lowest in between.

Measured: localisation error against the ANN's Grad-CAM, minimum over the steps that can still change the answer, for
every γ of the settings from one decoding of the raster. Which of the other γ has the highest or lowest error is chosen
on every second image. The differences are those of the images between, which had no part in the choice. Other ways to
take the error are measured, too: as a mean over steps, of the map summed over steps, and against the object itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.measures.localisation_error import localisation_errors, lowest_errors
from pipeline.measures.maps import is_flat
from pipeline.measures.statistics import Estimate, p_value, paired_difference
from pipeline.measures.tables import groups, rows, summary
from recordings.errors import InputError

from .study.ann import reference_maps
from .study.claims import Claim, Verdict, judged, verdict, with_interval
from .study.heatmaps import Maps
from .study.result import Result
from .study.study import Study
from .study.sweep import swept

MINIMUM, MEAN, SUM, OBJECT = "minimum over steps", "mean over steps", "of the sum over steps", "against the object"


def run(study: Study) -> Result:
    """Sweep γ over the recordings of both networks."""
    gammas = tuple(sorted(set(study.settings.gammas)))
    if len(gammas) < 3:
        raise InputError(
            f"paper.gammas: got {len(gammas)} values, expected 3 or more; the claim is about those between"
        )
    reference = reference_maps(study, study.images)
    paths = {name: study.recording(network, study.images) for name, network in study.networks.both.items()}
    errors = pd.concat(
        [errors_of(study, path, reference, gammas).assign(network=name) for name, path in paths.items()]
    )[["image", "measure", "network", "layer", "gamma", "value"]]
    table = summary(errors)
    draw(study, rows(table, measure=MINIMUM))
    claims = [
        claim
        for (network, layer), found in groups(rows(errors, measure=MINIMUM), ["network", "layer"])
        for claim in judge(f"{network}, {layer}", found.pivot(index="image", columns="gamma", values="value"))
    ]
    notes = [
        "A layer that never spikes has the error of a zero map at every γ. Which other γ has the highest or the lowest "
        "error is chosen on one half of the images. Differences and their n are those of the other half.",
        *(note_on(measure, rows(table, measure=measure)) for measure in table["measure"].unique()),
    ]
    if OBJECT not in set(table["measure"]):
        notes.append(f"Not measured {OBJECT}: not all images have a box or mask.")
    return Result("Fig. 8: localisation error against γ", table, claims, notes)


def errors_of(study: Study, path: Path, reference: Maps, gammas: Sequence[float]) -> pd.DataFrame:
    """The paper's error of every image, and what could be meant by it instead: image, measure, layer, gamma, value.

    "Against the object" is there only where all images have a box or mask.
    """
    found = []
    masks = [mask for mask in study.images.masks if mask is not None]
    known = len(masks) == len(study.images)
    for image, layer, maps in swept(study, path, gammas):
        errors = {
            MINIMUM: lowest_errors(maps, reference[image]),
            MEAN: mean_errors(maps, reference[image]),
            SUM: localisation_errors(maps.sum(axis=1), reference[image]),
        }
        if known:
            errors[OBJECT] = lowest_errors(maps, masks[image].astype(np.float32))
        for measure, by_gamma in errors.items():
            found += [(image, measure, layer, *each) for each in zip(gammas, by_gamma.tolist(), strict=True)]
    return pd.DataFrame(found, columns=["image", "measure", "layer", "gamma", "value"])


def mean_errors(maps: Maps, reference: Maps) -> NDArray[np.float64]:
    """Mean over the steps that are not flat, (G,); the zero map's where all are."""
    flat = is_flat(maps)
    counted = ~flat | flat.all(axis=1, keepdims=True)
    return localisation_errors(maps, reference).mean(axis=1, where=counted)


def note_on(measure: str, table: pd.DataFrame) -> str:
    """At which γ the mean error is lowest and highest."""
    parts = []
    for (network, layer), each in groups(table, ["network", "layer"]):
        low, high = (each.loc[at, "gamma"] for at in (each["mean"].idxmin(), each["mean"].idxmax()))
        parts.append(f"{network} {layer} {low:g} and {high:g}")
    return f"γ of the lowest and of the highest mean error, {measure}: {', '.join(parts)}."


def judge(where: str, errors: pd.DataFrame) -> list[Claim]:
    """What the paper says of one curve: highest at the smallest γ, lowest in between, rising again.

    Parameters
    ----------
    where : network and layer
    errors : (N, G ≥ 3) — a row per image, a column per γ, ascending
    """
    small, large = (f"γ = {errors.columns[end]:g}" for end in (0, -1))
    means, found = errors.mean(), errors.to_numpy()
    choosing = found[::2].mean(axis=0)
    judging = found[1::2] if len(found) > 1 else found
    highest = judging[:, 1 + choosing[1:].argmax()]
    lowest = judging[:, 1 + choosing[1:-1].argmin()]
    above = paired_difference(judging[:, 0], highest)
    fall = paired_difference(judging[:, 0], lowest)
    rise = paired_difference(judging[:, -1], lowest)
    return [
        judged(
            f"{where}: error at {small}",
            "highest of all γ",
            f"{means.iloc[0]:.3g}; error at {small} − highest error at another γ: {with_interval(above)}",
            above,
        ),
        Claim(
            f"{where}: error between {small} and {large}",
            "lowest of all γ",
            f"the lowest mean is {means.min():.3g}, at γ = {means.idxmin():g}; error at {small} − lowest error "
            f"between: {with_interval(fall)}",
            both(fall, rise),
            fall.n,
            fall,
            max(p_value(fall), p_value(rise)),
        ),
        judged(
            f"{where}: error at {large}",
            "rises again",
            f"{means.iloc[-1]:.3g}; error at {large} − lowest error between: {with_interval(rise)}",
            rise,
        ),
    ]


def both(fall: Estimate, rise: Estimate) -> Verdict:
    """Whether the error is lower between than at either end."""
    verdicts = {verdict(fall), verdict(rise)}
    if len(verdicts) == 1:
        return verdicts.pop()
    return "no" if "no" in verdicts else "no difference seen"


def draw(study: Study, table: pd.DataFrame) -> None:
    """A panel per network, a curve per layer."""
    points = table.rename(columns={"network": "panel", "layer": "curve", "gamma": "x"})
    subtitle = f"mean over {len(study.images)} images and 95 % interval; smaller is nearer to the ANN's Grad-CAM"
    axes = ("γ (1/step)", "localisation error (nats)")
    draw_curves(study.out / "fig8.png", "Localisation error against γ", subtitle, points, *axes)
