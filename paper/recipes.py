"""Beyond the paper: why activity falls silent. Networks that differ in the weight decay of BNTT's gains alone.

In the paper's Fig. 5 and 6b the layers of a surrogate-trained network are silent, active, and silent again, one after
the other. Its optimizer decays every parameter, and so BNTT's gain of each step. Over its schedule, learning rate times
decay sums to 7.3, and momentum 0.9 makes that 73: a gain that the loss does not hold up ends near nothing. A step whose
gain is 0 has no current, and neurons fall silent.

Here networks are trained alike, with the paper's optimizer, schedule and T, but for the decay of the gains
(`[recipes]` in the configuration): none, and one that with momentum sums to about 7.3. Networks trained elsewhere can
stand beside them. Compared on raw time, from step 0 to the last step that can still change the answer: the gain of each
step, the spike rate of each convolution, accuracy against spikes, and maps. A third of the time counts as silent, as in
fig5, where it is less than half as active as the middle. A layer's first silence is partly the delay of the layers
before it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from paper.common.claims import Claim, compared, judged, with_interval
from paper.common.heatmaps import convolutions, row_of_maps, sam_maps
from paper.common.raw_time import GAIN, RATE, RIGHT, SPIKES, curves, gains
from paper.common.result import Result
from paper.common.setup import Setup
from paper.measures.tables import difference, rows, values
from spikesam.backends.network import Network
from spikesam.pipeline.config import Config
from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves
from spikesam.pipeline.drawing.grid import draw_maps
from spikesam.pipeline.drawing.steps import thinned
from spikesam.pipeline.networks.checkpoint import check_fit, load_checkpoint
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader

PAPER = {"early": "zero, then active", "late": "active, then zero"}


def run(setup: Setup) -> Result:
    """Train, or find trained, and compare."""
    networks = networks_of(setup)
    tables, images = {}, {}
    for name, network in networks.items():
        tables[name], images[name] = curves(setup, network)
    table = pd.concat([table.assign(network=name) for name, table in tables.items()])
    table = table[["network", "measure", "layer", "step", "n", "mean", "low", "high"]]
    claims = [claim for name in networks for claim in claims_of(setup, name, networks[name], images[name])]
    first, *others = networks
    claims += [claim for other in others for claim in against(first, other, images)]
    draw(setup, table, networks)
    for image in range(min(setup.settings.shown, len(setup.images))):
        draw_steps(setup, networks, image)
    return Result(
        "Why activity falls silent: the decay of BNTT's gains", table, claims, [*NOTES, note_on_peaks(images)]
    )


NOTES = (
    "Time is raw: it runs from the recording's step 0 to the last step that can still change the answer. A gain is the "
    "standard deviation that BNTT gives a channel's current, in units of the threshold's 1; units of n are then "
    "channels. Only steps that an image can reach and that can still change the answer have one.",
    "A step whose spikes come too late to change the answer gets no gradient, so its gain does not decay either. Its "
    "spikes are counted neither as late activity nor among the spikes of an image.",
)


def networks_of(setup: Setup) -> dict[str, Network]:
    """The networks by what tells them apart."""
    recipes = setup.config.recipes
    found = {f"gain decay {decay:g}": setup.networks.recipe(decay) for decay in recipes.gain_decays}
    for name in recipes.checkpoints:
        checkpoint = load_checkpoint(name, "snn")
        check_fit(checkpoint, Config(data=setup.config.data), name)
        found[Path(name).stem if Path(name).stem != "checkpoint" else Path(name).parent.name] = checkpoint
    if len(found) < 2:
        raise InputError(f"recipes: got {len(found)} networks in gain_decays and checkpoints, expected 2 or more")
    return {name: checkpoint.network for name, checkpoint in found.items()}


def claims_of(setup: Setup, name: str, network: Network, found: pd.DataFrame) -> list[Claim]:
    """Whether the layers of one network are silent, active and silent, one after the other, and whether gains fall."""
    claims = []
    layers = [layer for layer in found["layer"].unique() if layer]
    for layer in layers:
        middle = rows(found, layer=layer, measure="middle")
        for part, paper in PAPER.items():
            other = rows(found, layer=layer, measure=part)
            silent = difference(middle.assign(value=middle["value"] / 2), other)
            means = f"{part} {values(other).mean():.2f}, middle {values(middle).mean():.2f}"
            ours = f"{means}; half of the middle − {part}: {with_interval(silent)}"
            what = f"{name}, {layer}: activity {part} on raw time"
            claims.append(judged(what, paper, ours, silent))
    peaks = [rows(found, layer=layer, measure="peak") for layer in (layers[-1], layers[0])]
    delay = difference(*peaks)
    ours = f"step of the peak; {layers[-1]} − {layers[0]}: {with_interval(delay)}"
    claims.append(judged(f"{name}: peak of the spike rate, in deeper layers", "later", ours, delay))
    of_gains = gains(setup, network)
    return [*claims, *(falling(name, layer, rows(of_gains, layer=layer)) for layer in layers)]


def falling(name: str, layer: str, found: pd.DataFrame) -> Claim:
    """BNTT's gain is lower in the last third of the steps than in the first, channel by channel."""
    steps = sorted(found["step"].unique())
    third = max(1, len(steps) // 3)
    ends = {
        which: found[found["step"].isin(chosen)].groupby("image", sort=True)["value"].mean().reset_index()
        for which, chosen in (("first third", steps[:third]), ("last third", steps[-third:]))
    }
    return compared(f"{name}, {layer}: gain of BNTT falls over the steps", "– (decay says yes)", ends)


def against(first: str, other: str, images: dict[str, pd.DataFrame]) -> list[Claim]:
    """The other network spends fewer spikes, at what price in accuracy."""
    spikes, right = (
        {name: rows(images[name], measure=measure, layer="") for name in (first, other)} for measure in (SPIKES, RIGHT)
    )
    return [
        compared(f"spikes of one image, {first} against {other}", "–", spikes),
        compared(f"accuracy, {first} against {other}", "–", right),
    ]


def note_on_peaks(images: dict[str, pd.DataFrame]) -> str:
    """When each layer is busiest, on raw time."""
    told = []
    for name, found in images.items():
        peaks = rows(found, measure="peak").groupby("layer", sort=False)["value"].mean()
        told.append(f"{name}: {', '.join(f'{layer} {mean:.1f}' for layer, mean in peaks.items())}")
    return f"The busiest step is, on average: {'; '.join(told)}."


def draw(setup: Setup, table: pd.DataFrame, networks: dict[str, Network]) -> None:
    """Gains and spike rates, a panel per network and a curve per layer; accuracy against spikes."""
    about, alike = f"{len(setup.images)} images; bands: 95 % interval", CurveOptions(alike=True)
    by_step = table.rename(columns={"network": "panel", "layer": "curve", "step": "x"})
    title, y = "Gain of BNTT by step and layer", "gain (threshold = 1)"
    reached = "mean over channels, at the steps that an image reaches and that can still change the answer"
    draw_curves(setup.out / "recipes.png", title, reached, rows(by_step, measure=GAIN), "step", y, alike)
    shown = rows(by_step, measure=RATE)
    matter = {
        (name, layer.name): network.timesteps - len(network.layers) + number
        for name, network in networks.items()
        for number, layer in enumerate(network.layers, 1)
    }
    last = np.array([matter[both] - 1 for both in zip(shown["panel"], shown["curve"], strict=True)])
    lines = pd.concat([shown[shown["x"] <= last].assign(style="-"), shown[shown["x"] >= last].assign(style=":")])
    title, y = "Spike rate on raw time", "share of neurons that fire"
    dotted = f"{about}; dotted: too late to change the answer"
    draw_curves(setup.out / "recipes_rate.png", title, dotted, lines, "step", y, alike)
    right, spikes = rows(table, measure=RIGHT), rows(table, measure=SPIKES)
    worth = right.assign(x=spikes["mean"].to_numpy() / 1000, curve=right["network"])
    worth[["mean", "low", "high"]] *= 100
    title, axes = "Accuracy against spikes", ("spikes of one image, thousands", "accuracy, %")
    after = f"after 1, 2, … steps; {about}"
    draw_curves(setup.out / "recipes_accuracy.png", title, after, worth, *axes, CurveOptions(width=5.0))


def draw_steps(setup: Setup, networks: dict[str, Network], image: int) -> None:
    """SAM of one image, step by step on raw time: a row per network and layer."""
    picture = setup.images.picture(image) if setup.settings.show_images else None
    steps = thinned(max(network.timesteps for network in networks.values()))
    grid = []
    for name, network in networks.items():
        with RasterReader(setup.recording(network, setup.images)) as raster:
            for layer in convolutions(raster)[1:]:
                maps = sam_maps(raster, layer, image, setup.settings.gamma)
                shown = [maps[step] if step < len(maps) else None for step in steps]
                grid.append(row_of_maps(f"{name}\n{layer}", shown, picture))
    draw_maps(
        setup.out / ("recipes_maps.png" if image == 0 else f"recipes_{image + 1}.png"),
        "SAM by layer and step, by how BNTT's gains decayed",
        "each row relative to its own largest value; blank: too late to change the answer",
        [f"t = {step}" for step in steps],
        grid,
    )
