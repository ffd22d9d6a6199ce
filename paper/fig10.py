"""Fig. 10: two objects in one image; which of them does the network attend to, and when?

The paper: neurons compete early, attending to both objects, and settle on one later: the one that
is predicted.

Measured at every step: the map's mean energy on the predicted object as a share of its mean energy
on both, so that 0.5 is even, however large the objects are. Objects are the halves of two images
side by side, or the digits of a scene. Early and late are the first and last third of the steps
from the image's arrival to the last that can still change the answer. Only images whose prediction
is one of the two classes count, and only where the map has energy on one of the objects: a silent
layer prefers none. Whether most images prefer the predicted object is a sign test, so images with
exactly one half do not count there. The plain spike count, SAM without its kernel, is measured
beside it; and two images side by side once more with left and right exchanged.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from numpy import int64
from numpy.typing import NDArray

from paper.common.heatmaps import COUNT, SAM, at_steps, row_of_maps, sam_maps
from paper.common.result import Claim, Result, Verdict, judged, with_interval
from paper.common.scenes import (
    Scenes,
    attention,
    side_by_side,
    taken_for_one,
    two_digit_scenes,
    widen,
)
from paper.common.setup import Setup
from paper.measures.inference import bootstrap_mean, paired_p_value
from paper.measures.tables import rows, summary
from spikesam import InputError, RasterReader
from spikesam.data import CLUTTERED_DIGITS
from spikesam.figures import CurveOptions, draw_curves, draw_maps, thinned
from spikesam.statistics import Estimate, mean_with_interval

NEAR = 0.05  # a share this close to one half is called even
FEWEST = 20  # images that a mean is judged by; the bootstrap's intervals of fewer are too narrow


def run(setup: Setup) -> Result:
    """Record images with two objects; see where the energy goes."""
    settings, surrogate = setup.settings, setup.networks.surrogate
    digits = setup.config.data.source == CLUTTERED_DIGITS
    scenes = (
        two_digit_scenes(surrogate, settings.two_objects)
        if digits
        else side_by_side(setup.images, settings.two_objects, settings.seed)
    )
    with RasterReader(
        setup.recording(widen(surrogate.network, *scenes.images.size), scenes.images)
    ) as raster:
        chosen, predicted = taken_for_one(scenes, raster.predictions)
        if not len(chosen):
            raise InputError(
                f"{scenes.images.name}: none of {len(scenes)} images with two objects is taken for "
                "one of the two; use a better network, or raise paper.images and paper.two_objects"
            )
        found = attention(setup, raster, scenes, chosen, predicted)
        draw_shown(setup, raster, scenes, chosen, predicted)
    table = summary(found)
    draw(setup, table)
    claims = [
        claim for _, of_layer in found.groupby("layer", sort=False) for claim in judge(of_layer)
    ]
    notes = [
        f"{len(chosen)} of {len(scenes)} images are taken for one of their two classes; the others "
        "do not count.",
        note_on_silence(found, len(chosen)),
    ]
    if digits:
        notes.append(
            "Scenes of two digits cannot be exchanged left for right; that check is for images "
            "side by side."
        )
    else:
        claims += exchange(
            setup, scenes, dict(zip(chosen.tolist(), predicted.tolist(), strict=True)), found
        )
    return Result("Fig. 10: two objects in one image", table, claims, notes, found)


def judge(found: pd.DataFrame) -> list[Claim]:
    """Claims of the paper about one layer, whose shares these are, and whether the kernel has a
    part in it.
    """
    layer = found["layer"].iloc[0]
    early, late, count = (
        rows(found, map=name, when=when).set_index("image")["value"]
        for name, when in ((SAM, "early"), (SAM, "late"), (COUNT, "late"))
    )
    share = f"{layer}: share of the energy on the predicted object"
    more = f"{layer}: images whose predicted object has more than half of the energy late"
    both = f"SAM {late.mean():.3g}, spike count {count.mean():.3g}; difference "
    claims = []
    if len(early):
        found_early = bootstrap_mean(early)
        told = with_interval(found_early)
        claims.append(
            Claim(f"{share}, early", "even (0.5)", told, near(found_early), found_early.n)
        )
    for what, paper, values, level, estimate, told in (
        (f"{share}, late", "more than half", late, 0.5, bootstrap_mean, ""),
        (f"{share}, late − early", "positive", (late - early).dropna(), 0, bootstrap_mean, ""),
        (
            more,
            "all that are shown",
            (late[late != 0.5] > 0.5).astype(float),
            0.5,
            mean_with_interval,
            "",
        ),
        (f"{share}, late: SAM − spike count", "–", late - count, 0, bootstrap_mean, both),
    ):
        if len(values):
            found_here = estimate(values)
            claim = judged(
                what,
                paper,
                told + with_interval(found_here),
                above(level, found_here),
                paired_p_value(values - level),
            )
            few = estimate is bootstrap_mean and len(values) < FEWEST
            claims.append(replace(claim, same="cannot say", gain=None, p=None) if few else claim)
    return claims


def note_on_silence(found: pd.DataFrame, images: int) -> str:
    """How many images are left in which a layer has energy on one of the objects."""
    counts = [
        f"{layer} "
        + " and ".join(
            f"{len(rows(each, map=SAM, when=when))} {when}" for when in ("early", "late")
        )
        for layer, each in found.groupby("layer", sort=False)
    ]
    return (
        f"Of {images} images, so many have a map with energy on one of the objects: "
        f"{', '.join(counts)}."
    )


def exchange(
    setup: Setup, scenes: Scenes, predicted: dict[int, int], found: pd.DataFrame
) -> list[Claim]:
    """Left and right exchanged: does the same object win, and does one side get more whatever it
    shows?

    Before, `found` was the :func:`attention`, and `predicted` says which object of each image was
    predicted.
    """
    exchanged = scenes.exchanged()
    network = widen(setup.networks.surrogate.network, *exchanged.images.size)
    with RasterReader(setup.recording(network, exchanged.images)) as raster:
        again, winners = taken_for_one(exchanged, raster.predictions)
        after = dict(zip(again.tolist(), winners.tolist(), strict=True))
        both = [image for image in predicted if image in after]
        if not both:
            return []
        others = attention(setup, raster, exchanged, again, winners)
    alike = pd.Series([predicted[image] == after[image] for image in both], dtype=float)
    same = mean_with_interval(alike)
    what = "left and right exchanged: the same object is predicted"
    claims = [judged(what, "–", with_interval(same), above(0.5, same), paired_p_value(alike - 0.5))]
    for layer in found["layer"].unique():
        halves = [
            on_left(rows(table, map=SAM, layer=layer, when="late"), sides)
            for table, sides in (
                (found, predicted),
                (others, {image: 1 - side for image, side in after.items()}),
            )
        ]
        of_both = pd.concat(halves, axis=1).mean(axis=1, skipna=False).dropna()
        if len(of_both):
            share = bootstrap_mean(of_both)
            what = f"{layer}: share of the left half late, mean of both orders"
            claims.append(Claim(what, "even (0.5)", with_interval(share), near(share), share.n))
    return claims


def on_left(late: pd.DataFrame, sides: dict[int, int]) -> pd.Series[float]:
    """Share of the left half, image by image, from that of the predicted object, which is on side
    0, left, or 1.
    """
    shares = late.set_index("image")["value"]
    return shares.where(shares.index.map(sides) == 0, 1 - shares)


def near(share: Estimate) -> Verdict:
    """True if a share is even, to within :data:`NEAR`."""
    if share.n < FEWEST:
        return "cannot say"
    if abs(share.low - 0.5) <= NEAR and abs(share.high - 0.5) <= NEAR:
        return "yes"
    return "no" if share.low > 0.5 + NEAR or share.high < 0.5 - NEAR else "cannot say"


def above(level: float, share: Estimate) -> Estimate:
    """By how much a share is more than a level, such as one half."""
    return Estimate(share.n, *(each - level for each in share[1:]))


def draw(setup: Setup, table: pd.DataFrame) -> None:
    """A panel per kind of map, a curve per layer, at the steps at which enough images have a
    share.
    """
    points = table[
        table["when"].str.startswith("step ") & (table["n"] >= min(FEWEST, table["n"].max()))
    ]
    points = points.assign(x=points["when"].str.removeprefix("step ").astype(int)).sort_values(
        "x", kind="stable"
    )
    points = points.rename(columns={"map": "panel", "layer": "curve"})
    title, y = "Two objects: when does the predicted one win?", "share on the predicted object"
    counts = points["n"].min(), points["n"].max()
    n = f"{counts[1]} images" if counts[0] == counts[1] else f"{counts[0]} to {counts[1]} images"
    subtitle = (
        f"energy on the predicted object, as a share of that on both; {n} with a share, "
        "mean and 95 % interval"
    )
    draw_curves(
        setup.out / "fig10.png",
        title,
        subtitle,
        points,
        "step",
        y,
        CurveOptions(level=(0.5, "even"), alike=True),
    )


def draw_shown(
    setup: Setup,
    raster: RasterReader,
    scenes: Scenes,
    chosen: NDArray[int64],
    predicted: NDArray[int64],
) -> None:
    """Maps of some images step by step, at the deepest layer."""
    layer = setup.layers(raster)[-1]
    names = setup.class_names
    steps = thinned(raster.steps_that_matter(layer), first=raster.layer(layer).number)
    grid = []
    for sample, side in list(zip(chosen.tolist(), predicted.tolist(), strict=True))[
        : setup.settings.shown
    ]:
        first, other = (names[label] for label in scenes.labels[sample])
        image = scenes.images.picture(sample) if setup.settings.show_images else None
        maps = at_steps(sam_maps(raster, layer, sample, setup.settings.gamma), steps)
        grid.append(
            row_of_maps(f"{first} and {other},\nanswer {(first, other)[side]}", maps, image)
        )
    subtitle = f"SAM of {layer}, relative to the row's maximum"
    columns = [f"step {step}" for step in steps]
    draw_maps(setup.out / "fig10_maps.png", "Two objects in one image", subtitle, columns, grid)
