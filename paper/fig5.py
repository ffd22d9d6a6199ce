"""Fig. 5: SAM layer by layer and step by step, of a surrogate-trained and a converted network,
beside Grad-CAM.

The paper: the surrogate-trained network is silent early, discriminative in between and silent again
late; the converted one keeps similar maps all the time.

Measured: activity, the spikes of a layer at each step relative to those at its busiest step. It is
averaged over the early, middle and late third of the steps from the image's arrival to the last
that can still change the answer. The paper's time is raw and begins with step 0, when nothing has
arrived yet. So the thirds are also taken from step 0 on: early silence there is the delay of the
layers before. A third counts as silent, in the paper's sense, where it is less than half as active
as the middle. Also measured is how alike the maps of a network are at different steps: Pearson's
correlation, where a flat map has nothing in common with any other. A single step of the converted
network holds few spikes, so sums over eighths of the time are compared, too.

Some images run on every backend, to show that maps do not depend on the backend.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from paper.common.ann import reference_maps
from paper.common.heatmaps import arrivals, row_of_maps, sam_maps, swept
from paper.common.result import Claim, Result, compared, differences, judged, with_interval
from paper.common.setup import Setup
from paper.measures.inference import bootstrap_mean, paired_p_value
from paper.measures.over_time import ANY_TWO, EIGHTHS, activity, likeness
from paper.measures.tables import difference, measured, paired, rows, summary, values
from spikesam import BackendError, Network, RasterReader
from spikesam.figures import (
    Cell,
    Row,
    Subject,
    draw_maps,
    hatching,
    headings,
    outside,
    row_over_time,
    stretches,
)

BACKENDS = ("event", "torch", "lava")
BY_NETWORK = (
    "Each network: first the sum over the steps that can still change the answer, then steps, or "
    "sums over the steps "
    "named. First sums are relative to their own largest value, what follows to its layer's."
)
FRAMED = "Frame: the box around the object."
TO_THE_END = ", to the last step"  # of the recording, in place of the last step that matters
RAW = ", raw time"  # from step 0 in place of the image's arrival
ABOUT = {"": "", TO_THE_END: ", to the last step of the recording", RAW: ", on raw time"}


def run(setup: Setup) -> Result:
    """Measure all networks, draw some images, and compare the backends."""
    networks = setup.networks.both
    paths = {
        name: setup.recording(network, setup.images)
        for name, network in setup.networks.by_rule.items()
    }
    found = pd.concat(
        [
            measure(setup, path).assign(network=name)
            for name, path in paths.items()
            for measure in (likenesses, activities)
        ]
    )[["image", "network", "layer", "measure", "value"]]
    reference = reference_maps(setup, setup.images)
    draw(setup, networks, "fig5", reference)
    if rules := {
        name: each for name, each in setup.networks.by_rule.items() if name not in networks
    }:
        draw(setup, rules, "fig5_rules", reference)
    claims = [
        *activity_claims(rows(found, network="surrogate")),
        *likeness_claims(found),
        *(same_on_every_backend(setup, name, network) for name, network in networks.items()),
    ]
    notes = [
        *notes_on_rules(found),
        "A silent step has no spike in the whole layer; steps count from the image's arrival on. "
        "Maps are SAM with "
        f"γ = {setup.settings.gamma:g}.",
    ]
    return Result("Fig. 5: SAM by layer and step", summary(found), claims, notes, found)


def likenesses(setup: Setup, path: Path) -> pd.DataFrame:
    """How alike the maps of each image are at different steps: image, layer, measure, value."""
    first = arrivals(path)
    found = [
        (image, layer, name, value)
        for image, layer, (maps,) in swept(setup, path, [setup.settings.gamma])
        for name, value in likeness(maps[first[layer] :]).items()
    ]
    return pd.DataFrame(found, columns=["image", "layer", "measure", "value"])


def activities(setup: Setup, path: Path) -> pd.DataFrame:
    """How active each layer is over time: image, layer, measure, value."""
    parts = []
    with RasterReader(path) as raster:
        for layer in setup.layers(raster):
            number, matter = raster.layer(layer).number, raster.steps_that_matter(layer)
            for suffix, first, steps in (
                ("", number, matter),
                (TO_THE_END, number, raster.timesteps),
                (RAW, 0, matter),
            ):
                counts = raster.counts(layer)[:, min(first, steps - 1) : steps]
                for name, active in activity(counts).items():
                    parts.append(measured(active, layer=layer, measure=name + suffix))
    return pd.concat(parts)


def activity_claims(found: pd.DataFrame) -> list[Claim]:
    """The surrogate-trained network is silent early and late: less than half as active as in the
    middle.
    """
    claims = []
    for layer, of_layer in found.groupby("layer", sort=False):
        for part, suffix, paper in (
            ("early", "", "zero, then active"),
            ("late", "", "active, then zero"),
            ("late", TO_THE_END, "active, then zero"),
            ("early", RAW, "zero, then active"),
            ("late", RAW, "active, then zero"),
        ):
            other, middle = (rows(of_layer, measure=name + suffix) for name in (part, "middle"))
            less = difference(middle, other)
            apart = paired(middle.assign(value=middle["value"] / 2), other)
            means = f"{part} {values(other).mean():.2f}, middle {values(middle).mean():.2f}"
            ours = f"{means}; middle − {part}: {with_interval(less)}"
            what = f"surrogate, {layer}: activity {part}{ABOUT[suffix]}"
            claims.append(judged(what, paper, ours, bootstrap_mean(apart), paired_p_value(apart)))
    return claims


def likeness_claims(found: pd.DataFrame) -> list[Claim]:
    """The converted network's maps are alike at all steps, more than the surrogate-trained
    network's.
    """
    order = ("converted", "surrogate")
    return [
        compared(
            f"converted, {layer}: correlation of the maps of {name}",
            "similar, more than the surrogate's",
            {network: rows(found, network=network, layer=layer, measure=name) for network in order},
        )
        for name in (ANY_TWO, EIGHTHS)
        for layer in found["layer"].unique()
    ]


def notes_on_rules(found: pd.DataFrame) -> list[str]:
    """How alike the converted network's maps are under the other rules of conversion."""
    rules = [name for name in found["network"].unique() if name not in ("surrogate", "converted")]
    told = []
    for name in (ANY_TWO, EIGHTHS) if rules else ():
        own = rows(found, network="surrogate", measure=name)
        apart = [
            f"{rule}: {differences(rows(found, network=rule, measure=name), own)}" for rule in rules
        ]
        told.append(
            f"Correlation of the maps of {name}, minus the surrogate's, by rule. "
            f"{'; '.join(apart)}."
        )
    return told


def same_on_every_backend(setup: Setup, name: str, network: Network) -> Claim:
    """True if every backend records identical spikes, from which identical maps follow, bit for
    bit.
    """
    what = f"{name}: spikes and maps on {', '.join(BACKENDS)}"
    images = setup.images.take(setup.settings.both_backends)
    if not len(images):
        return Claim(what, "–", "not run: paper.both_backends is 0", "cannot say", 0)
    try:
        paths = [setup.recording(network, images, backend=backend) for backend in BACKENDS]
    except BackendError as error:
        return Claim(what, "–", f"not run: {error}", "cannot say", 0)
    digests = []
    for path in paths:
        with RasterReader(path) as raster:
            digests.append(raster.raster_digest)
    found = zip(*(swept(setup, path, [setup.settings.gamma]) for path in paths), strict=True)
    equal = [all(np.array_equal(one[2], other[2]) for other in others) for one, *others in found]
    same = len(set(digests)) == 1 and all(equal)
    named = [f"{digest[:12]}…" for digest in digests]
    told = f"one raster digest, {named[0]}, and" if same else f"raster digests {', '.join(named)};"
    ours = f"{told} {sum(equal)} of {len(equal)} series of maps bit-equal"
    return Claim(what, "–", ours, "yes" if same else "no", len(images))


def draw(
    setup: Setup,
    networks: dict[str, Network],
    stem: str,
    reference: NDArray[np.float32] | None = None,
) -> None:
    """Picture some images: the image and Grad-CAM, where it is given, once, then maps of each
    network, summed first.

    Without the images, a frame says where the object is; images that it does not fill by half come
    first.
    """
    images, gamma = setup.images, setup.settings.gamma
    masks = [None if setup.settings.show_images else mask for mask in images.masks]
    order = sorted(
        range(len(images)),
        key=lambda image: (
            image != setup.settings.picture,
            (mask := masks[image]) is not None and mask.mean() > 0.5,
        ),
    )
    for number, image in enumerate(order[: setup.settings.shown], 1):
        label = images.labels[image]
        shown = setup.class_names[label] if label >= 0 else "class unknown"
        picture = images.picture(image) if setup.settings.show_images else None
        subject = Subject(shown, image=picture)
        grad_cam = row_of_maps("", [] if reference is None else [reference[image]], picture)
        heads = [
            *(["image"] if picture is not None else []),
            *(["Grad-CAM"] if reference is not None else []),
        ]
        grid = [Row("", grad_cam.cells, heads)] if heads else []
        for name, network in networks.items():
            padded = outside(network)
            with RasterReader(setup.recording(network, images)) as raster:
                maps = {
                    layer: sam_maps(raster, layer, image, gamma) for layer in setup.layers(raster)
                }
            steps = stretches(maps)
            of_network = [
                row_over_time(f"{name}\n{layer}", found, steps, subject, padded=padded.get(layer))
                for layer, found in maps.items()
            ]
            grid += [replace(of_network[0], headings=headings(steps)), *of_network[1:]]
        if (mask := masks[image]) is not None:
            grid = [
                replace(row, cells=[cell and with_frame(cell, mask) for cell in row.cells])
                for row in grid
            ]
        subtitle = f"{BY_NETWORK} {hatching(grid)} {'' if mask is None else FRAMED}".strip()
        path = setup.out / (f"{stem}.png" if number == 1 else f"{stem}_{number}.png")
        draw_maps(path, f"SAM by layer and step: {shown}", subtitle, (), grid, apart=1)


def with_frame(cell: Cell, mask: NDArray[np.bool_]) -> Cell:
    """A map with the box around an object, whose mask (H, W) is that of the image; as it is if it
    is no map.
    """
    if cell.heat is None:
        return cell
    ((rows, columns),) = find_objects(mask, 1)
    y, x = np.divide(cell.heat.shape, mask.shape)
    return replace(cell, box=(columns.start * x, rows.start * y, columns.stop * x, rows.stop * y))
