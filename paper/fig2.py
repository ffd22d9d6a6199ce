"""Fig. 2: SNN-crafted Grad-CAM smooths out in shallow layers, SAM does not.

The paper shows one image. The gradient of the logit, passed back through several surrogate
derivatives, no longer tells places apart, so that the Grad-CAM of an early layer is an even haze.
SAM needs no gradient and keeps its structure. Both are empty at the beginning, before the image has
arrived.

Drawn here for `paper.shown` images: the first convolution and `paper.layers`, step by step, each
map min-max normalised as the measures see it. In numbers: total variation, the mean difference
between neighbouring pixels of such a map, at the step where it is largest. A haze has little of it,
whatever its shade; so have few large blobs. Fig. 3 measures the claim with the paper's own number,
the variance. Grad-CAM is that of the float32 network, SAM that of the fixed-point one; both
networks get identical input spikes.
"""

from __future__ import annotations

import pandas as pd

from paper.common.heatmaps import (
    Maps,
    at_steps,
    convolutions,
    largest,
    mean_where_not_flat,
    measured_by_step,
    row_of_maps,
    sam_above_grad_cam,
    sam_maps,
    snn_grad_cams,
)
from paper.common.result import Result, differences
from paper.common.setup import Setup
from paper.measures.maps import min_max, total_variation
from paper.measures.tables import rows, summary
from spikesam import RasterReader
from spikesam.figures import draw_maps, hatching, outside, thinned

MAPS = ("SNN Grad-CAM", "SAM")
LARGEST, MEAN = "total variation, largest over steps", "total variation, mean over steps"


def run(setup: Setup) -> Result:
    """Compare the two kinds of map, and draw them."""
    seed = setup.settings.seed
    with RasterReader(setup.recording(setup.networks.surrogate.network, setup.images)) as raster:
        layers = [
            layer
            for layer in convolutions(raster)
            if layer in {convolutions(raster)[0], *setup.layers(raster)}
        ]
        by_step = measured_by_step(
            setup, raster, layers, MAPS, {"total variation": total_variation}
        )
        grad_cams = snn_grad_cams(setup, setup.images, raster)
        order = sorted(range(len(setup.images)), key=lambda image: image != setup.settings.picture)
        for number, image in enumerate(order[: setup.settings.shown], 1):
            draw(
                setup,
                raster,
                layers,
                grad_cams,
                image,
                "fig2.png" if number == 1 else f"fig2_{number}.png",
            )
    found = pd.concat(
        [
            largest(by_step).assign(measure=LARGEST),
            mean_where_not_flat(by_step).assign(measure=MEAN),
        ]
    )
    paper = "SNN-crafted Grad-CAM is smoother than SAM"
    claims = sam_above_grad_cam("total variation", paper, rows(found, measure=LARGEST), seed)
    means = rows(found, measure=MEAN)
    told = differences(rows(means, map="SAM"), rows(means, map="SNN Grad-CAM"), seed)
    note = f"The mean over the steps at which a map is not flat differs by, SAM − Grad-CAM: {told}."
    return Result(
        "Fig. 2: SNN-crafted Grad-CAM against SAM",
        summary(found, seed),
        claims,
        [*NOTES, note],
        found,
    )


def draw(
    setup: Setup,
    raster: RasterReader,
    layers: list[str],
    grad_cams: dict[str, Maps],
    image: int,
    name: str,
) -> None:
    """Picture one image: Grad-CAM above SAM, layer by layer."""
    images = setup.images
    picture = images.picture(image) if setup.settings.show_images else None
    steps = thinned(max(len(grad_cams[layer][image]) for layer in layers), first=1)
    grid, padded = [], outside(setup.networks.surrogate.network)
    for layer in layers:
        size = "×".join(map(str, raster.layer(layer).shape[1:]))
        kinds = {
            "Grad-CAM": grad_cams[layer][image],
            "SAM": sam_maps(raster, layer, image, setup.settings.gamma),
        }
        for kind, maps in kinds.items():
            shown = at_steps(min_max(maps), steps)
            grid.append(
                row_of_maps(
                    f"{layer}, {size}\n{kind}", shown, picture, each=True, padded=padded[layer]
                )
            )
    names = setup.class_names
    truth = f"true: {names[images.labels[image]]}, " if images.labels[image] >= 0 else ""
    draw_maps(
        setup.out / name,
        "SNN-crafted Grad-CAM against SAM",
        f"{truth}predicted: {names[raster.predictions[image]]}. Each map stretched to 0 … 1; "
        f"blank: too late to matter. {hatching(grid)}",
        [f"t = {step}" for step in steps],
        grid,
    )


NOTES = (
    "Total variation is the mean difference between neighbouring pixels of the min-max normalised "
    "map, at the step "
    "where it is largest. Only steps count whose spikes can still change the answer. A haze has "
    "little total "
    "variation, speckle has much, a compact blob lies between. So a map may have less variance "
    "than another (fig3) and "
    "still be rougher.",
    "Grad-CAM is taken for the true class through the float32 network, SAM from the raster of the "
    "fixed-point network. "
    "Both networks get identical input spikes.",
)
