"""Fig. 8: how the localisation error depends on γ, the decay of SAM's kernel.

The paper: for both networks the error is highest at γ = 0, where spikes of any age count alike; it
rises again towards γ = 1, where only recent ones do; it is lowest in between.

Measured: localisation error against the ANN's Grad-CAM, minimum over the steps that can still
change the answer, for every γ of the settings, with two kernels. That of the equations weighs an
earlier spike by e^(-γ|t - t'|): at γ = 0 it counts all spikes so far, and for large γ those of the
step alone. That of the authors' script adds e^(-γt) for each silent step: at γ = 0 it is the spike
count of the step times t + 1, and for large γ the spike count again. So its curve ends where it
begins, at counting. Errors are therefore also given as what a kernel takes off that of the spike
count, image by image.

Which of the other γ has the highest or lowest error is chosen on every second image. The
differences are those of the images between, which had no part in the choice. Other ways to take the
error are measured, too: with the authors' floor of 0.001 in what maps are divided by, as a mean
over steps, of the map summed over steps, against the object itself, and for the other rules of
conversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.errors_by_kernel import (
    GRAD_CAM,
    KERNELS,
    OBJECT,
    gammas_of,
    maps_by_kernel,
    note_on_reference,
    targets,
    with_reference,
)
from paper.common.heatmaps import COUNT
from paper.common.result import Claim, Result, Verdict, compared, judged, verdict, with_interval
from paper.common.setup import Setup
from paper.measures.inference import bootstrap_mean, paired_p_value
from paper.measures.maps import is_flat, localisation_errors, lowest
from paper.measures.tables import groups, minus, rows, summary
from spikesam import InputError
from spikesam.figures import CurveOptions, draw_curves
from spikesam.statistics import Estimate

MINIMUM, MEAN, SUM = "minimum over steps", "mean over steps", "of the sum over steps"
ADDED = "minimum over steps, minus that of the spike count"
COLUMNS = ["image", "measure", "network", "kernel", "floor", "against", "layer", "gamma", "value"]


def run(setup: Setup) -> Result:
    """Sweep γ over the recordings of all networks."""
    settings = setup.settings
    if (count := len(set(settings.gammas))) < 3:
        raise InputError(
            f"paper.gammas: got {count} values, expected 3 or more; the claim is about those "
            "between"
        )
    gammas = tuple(sorted({*settings.gammas, settings.gamma}))
    paths = {
        name: setup.recording(network, setup.images)
        for name, network in setup.networks.by_rule.items()
    }
    errors = pd.concat(
        [errors_of(setup, path, gammas).assign(network=name) for name, path in paths.items()]
    )[COLUMNS]
    table, papers = summary(errors), rows(errors, measure=MINIMUM, floor=0.0, against=GRAD_CAM)
    added = over_counting(papers)
    draw(setup, rows(table, measure=MINIMUM, floor=0.0, against=GRAD_CAM), added)
    claims = [
        claim
        for (network, kernel, layer), found in groups(papers, ["network", "kernel", "layer"])
        if network in setup.networks.both and kernel != COUNT
        for claim in [
            *judge(
                f"{network}, {layer}, {kernel}",
                found.pivot(index="image", columns="gamma", values="value"),
            ),
            more_than_counting(
                found, rows(papers, network=network, layer=layer, kernel=COUNT), settings.gamma
            ),
        ]
    ]
    whole = with_reference(setup, pd.concat([table, added]))
    return Result(
        "Fig. 8: localisation error against γ", whole, claims, notes(setup, errors, table), errors
    )


def errors_of(setup: Setup, path: Path, gammas: Sequence[float]) -> pd.DataFrame:
    """The paper's error of every image, and what could be meant by it instead; γ is infinite for
    the spike count.
    """
    found, measured_against = [], targets(setup)
    for kernel, image, layer, maps in maps_by_kernel(setup, path, gammas):
        flat = is_flat(maps)
        for against, floor, references in measured_against:
            errors = localisation_errors(maps, references[image], floor=floor)
            by_measure = {MINIMUM: lowest(errors, flat)}
            if (against, floor) == (GRAD_CAM, 0.0):
                by_measure[MEAN] = mean_errors(errors, flat)
                by_measure[SUM] = localisation_errors(maps.sum(axis=1), references[image])
            for measure, by_gamma in by_measure.items():
                about = (image, measure, kernel, floor, against, layer)
                found += [
                    (*about, *each)
                    for each in zip(gammas_of(kernel, gammas), by_gamma.tolist(), strict=True)
                ]
    return pd.DataFrame(found, columns=[column for column in COLUMNS if column != "network"])


def mean_errors(errors: NDArray[np.float64], flat: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of errors (G, T) over the steps that are not flat, (G,);
    the zero map's where all are.
    """
    return errors.mean(axis=1, where=~flat | flat.all(axis=1, keepdims=True))


def over_counting(papers: pd.DataFrame) -> pd.DataFrame:
    """Gain of a kernel over counting: its error minus the spike count's, image by image; below 0 it
    is better.
    """
    count = papers["kernel"] == COUNT
    return summary(minus(papers[~count], papers[count], "network", "layer").assign(measure=ADDED))


def judge(where: str, errors: pd.DataFrame) -> list[Claim]:
    """Claims of the paper about one curve: highest at the smallest γ, lowest in between, rising
    again.

    `where` names network, layer and kernel; errors are (N, G ≥ 3), a row per image, a column per γ,
    ascending.
    """
    small, large = (f"γ = {errors.columns[end]:g}" for end in (0, -1))
    means, found = errors.mean(), errors.to_numpy()
    choosing = found[::2].mean(axis=0)
    judging = found[1::2] if len(found) > 1 else found
    highest = judging[:, 1 + choosing[1:].argmax()]
    lowest = judging[:, 1 + choosing[1:-1].argmin()]
    gains = judging[:, 0] - highest, judging[:, 0] - lowest, judging[:, -1] - lowest
    above, fall, rise = (bootstrap_mean(gain) for gain in gains)
    p_above, p_fall, p_rise = (paired_p_value(gain) for gain in gains)
    return [
        judged(
            f"{where}: error at {small}",
            "highest of all γ",
            f"{means.iloc[0]:.3g}; error at {small} − highest error at another γ: "
            f"{with_interval(above)}",
            above,
            p_above,
        ),
        Claim(
            f"{where}: error between {small} and {large}",
            "lowest of all γ",
            f"the lowest mean is {means.min():.3g}, at γ = {means.idxmin():g}; error at {small} − "
            f"lowest error between: {with_interval(fall)}",
            both(fall, rise),
            fall.n,
            fall,
            max(p_fall, p_rise),
        ),
        judged(
            f"{where}: error at {large}",
            "rises again",
            f"{means.iloc[-1]:.3g}; error at {large} − lowest error between: {with_interval(rise)}",
            rise,
            p_rise,
        ),
    ]


def more_than_counting(errors: pd.DataFrame, count: pd.DataFrame, gamma: float) -> Claim:
    """At the γ of the settings, which no result chose, the kernel's map has a lower error than the
    spike count.
    """
    network, layer, kernel = (errors[column].iloc[0] for column in ("network", "layer", "kernel"))
    what = f"{network}, {layer}, {kernel}: error of the spike count, against that at γ = {gamma:g}"
    return compared(
        what, "higher: the kernel adds something", {COUNT: count, kernel: rows(errors, gamma=gamma)}
    )


def both(fall: Estimate, rise: Estimate) -> Verdict:
    """True if the error is lower between than at either end."""
    verdicts = {verdict(fall), verdict(rise)}
    if len(verdicts) == 1:
        return verdicts.pop()
    return "no" if "no" in verdicts else "no difference seen"


def notes(setup: Setup, errors: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Notes beside the claims: other measures, the floor, other rules, the reference."""
    papers = rows(table, floor=0.0, against=GRAD_CAM)
    told = [
        "A layer that never spikes has the error of a zero map at every γ. Which other γ has the "
        "highest or the lowest "
        "error is chosen on one half of the images. Differences and their n are those of the other "
        "half.",
        "At γ = 0 the kernel of the authors' script is, up to a factor, the spike count of each "
        "step. In the table the "
        "spike count has γ infinite.",
        *(note_on(measure, rows(papers, measure=measure)) for measure in (MINIMUM, MEAN, SUM)),
    ]
    for against, floor in ((GRAD_CAM, table["floor"].max()), (OBJECT, 0.0)):
        found = rows(table, measure=MINIMUM, against=against, floor=floor)
        if not found.empty:
            about = f"minimum over steps, against {against}" + (
                f", floor {floor:g}" if floor else ""
            )
            told.append(note_on(about, found))
        else:
            told.append("Not measured against the object: not all images have a box or mask.")
    told += note_on_verdicts(errors)
    return [*told, note_on_reference(setup)]


def note_on(measure: str, table: pd.DataFrame) -> str:
    """At which γ the mean error is lowest and highest, with each kernel."""
    parts = []
    for kernel in KERNELS:
        of_kernel = [
            f"{network} {layer} {each.loc[each['mean'].idxmin(), 'gamma']:g} and "
            f"{each.loc[each['mean'].idxmax(), 'gamma']:g}"
            for (network, layer), each in groups(
                rows(table, kernel=kernel).reset_index(), ["network", "layer"]
            )
        ]
        parts.append(f"{kernel}: {', '.join(of_kernel)}")
    return f"γ of the lowest and of the highest mean error, {measure}. {'; '.join(parts)}."


def note_on_verdicts(errors: pd.DataFrame) -> list[str]:
    """In how many layers the paper's three statements hold: with the floor, against the object, for
    every rule.
    """
    told = []
    for (against, floor), found in groups(rows(errors, measure=MINIMUM), ["against", "floor"]):
        parts = []
        for (network, kernel), each in groups(
            found[found["kernel"] != COUNT], ["network", "kernel"]
        ):
            by_layer = [
                [
                    claim.same
                    for claim in judge(
                        "", of_layer.pivot(index="image", columns="gamma", values="value")
                    )
                ]
                for _, of_layer in groups(each, ["layer"])
            ]
            held = " / ".join(
                str(verdicts.count("yes")) for verdicts in zip(*by_layer, strict=True)
            )
            parts.append(f"{network}, {kernel}: {held} of {len(by_layer)}")
        about = f"{against}, floor {floor:g}" if floor else against
        told.append(
            "Layers in which γ = 0 is worst / the best lies between / the error rises again, "
            f"against {about}: {'; '.join(parts)}."
        )
    return told


def draw(setup: Setup, table: pd.DataFrame, added: pd.DataFrame) -> None:
    """Gains of kernels over counting; the errors themselves; and what is added under the other
    rules.
    """
    about, x = f"mean over {len(setup.images)} images and 95 % interval", "γ (1/step)"
    points = added.rename(columns={"layer": "curve", "gamma": "x"})
    points = points.assign(panel=points["network"] + ", " + points["kernel"])
    papers, y = points["network"].isin(setup.networks.both), "error − that of the count (nats)"
    below = f"{about}; below 0 the map is nearer to Grad-CAM than the count"
    title, options = (
        "What a kernel adds to counting spikes",
        CurveOptions(level=(0.0, "spike count"), alike=True),
    )
    draw_curves(setup.out / "fig8.png", title, below, points[papers], x, y, options)
    if not papers.all():
        title = f"{title}, by rule of conversion"
        draw_curves(setup.out / "fig8_rules.png", title, below, points[~papers], x, y, options)
    errors = table[(table["kernel"] != COUNT) & table["network"].isin(setup.networks.both)]
    errors = errors.rename(columns={"layer": "curve", "gamma": "x"})
    errors = errors.assign(panel=errors["network"] + ", " + errors["kernel"])
    smaller = f"{about}; smaller is nearer to the ANN's Grad-CAM"
    title, y = "Localisation error against γ", "localisation error (nats)"
    draw_curves(
        setup.out / "fig8_error.png", title, smaller, errors, x, y, CurveOptions(alike=True)
    )
