"""The VGG-like list that describes a network: numbers are 3×3 convolutions, "P" pools, "D128" is dense."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spikesam.backends.network import Shape, Sides
from spikesam.backends.network.consistency import MOST_LAYERS
from spikesam.recordings.errors import InputError

MOST_OUTPUTS = 1 << 16  # channels, or dense neurons
MOST_WEIGHTS = 1 << 29  # of all layers: a file of 2 GB


@dataclass(frozen=True)
class LayerPlan:
    """One synapse layer of a network still without weights; `pool` is the average pooling in front of it."""

    name: str
    kind: str
    outputs: int
    pool: int


def outline(plans: Iterable[LayerPlan]) -> list[tuple[str, int, Sides]]:
    """Kind, outputs and pool of every layer: what two networks of one description share."""
    return [(plan.kind, plan.outputs, plan.pool) for plan in plans]


def description(outline: Iterable[tuple[str, int, Sides]]) -> tuple[int | str, ...]:
    """The list that :func:`plan_layers` reads as layers of this outline."""
    entries: list[int | str] = []
    for kind, outputs, pool in outline:
        if pool != 1:
            entries.append("P" if pool == 2 else f"P{pool}")
        entries.append(outputs if kind == "conv" else f"D{outputs}")
    return tuple(entries)


def plan_layers(description: Sequence[int | str]) -> tuple[LayerPlan, ...]:
    """Read a list such as ``[64, "P", 128, "P4", "D4096"]``; an InputError names the entry that is not understood."""
    plans: list[LayerPlan] = []
    pool = 1
    if len(description) > MOST_LAYERS:
        raise InputError(f"network.layers: got {len(description):,} entries, expected at most {MOST_LAYERS:,}")
    for position, entry in enumerate(description, 1):
        text = str(entry)
        if match := re.fullmatch(r"P(\d{0,18})", text):
            pool *= int(match[1] or 2)
        elif match := re.fullmatch(r"(D?)(\d{1,18})", text):
            kind = "dense" if match[1] else "conv"
            if kind == "conv" and plans and plans[-1].kind == "dense":
                raise InputError(f"network.layers, entry {position}: convolution {text} after a dense layer")
            number = 1 + sum(plan.kind == kind for plan in plans)
            name = f"{'fc' if kind == 'dense' else 'conv'}{number}"
            plans.append(LayerPlan(name, kind, int(match[2]), pool))
            pool = 1
        else:
            raise InputError(
                f'network.layers, entry {position}: got {entry!r}, expected channels of a 3×3 convolution (64), "P" or '
                '"P4" for average pooling, or "D256" for 256 dense neurons'
            )
        if pool < 1 or (plans and not 1 <= plans[-1].outputs <= MOST_OUTPUTS):
            raise InputError(
                f"network.layers, entry {position}: got {entry!r}, expected a number of 1 to {MOST_OUTPUTS:,}"
            )
    if not plans or plans[-1].kind != "dense" or pool > 1:
        raise InputError('network.layers: the last entry must be dense neurons such as "D128"')
    return tuple(plans)


def count_inputs(plans: Sequence[LayerPlan], shape: Shape) -> tuple[int, ...]:
    """The channels (dense: features) that each layer gets for images of (C, H, W).

    An InputError if pooling does not divide a map, or the layers have more weights than any network needs.
    """
    channels, height, width = shape
    counts: list[int] = []
    for plan in plans:
        if height % plan.pool or width % plan.pool:
            raise InputError(
                f"network.layers: pooling {plan.pool} in front of {plan.name} does not divide its {height}×{width} "
                "input; change data.height, data.width or the pooling"
            )
        height, width = height // plan.pool, width // plan.pool
        if plan.kind == "dense":
            channels *= height * width
            height = width = 1
        counts.append(channels)
        channels = plan.outputs
    weights = sum(
        count * plan.outputs * (9 if plan.kind == "conv" else 1) for count, plan in zip(counts, plans, strict=True)
    )
    if weights > MOST_WEIGHTS:
        raise InputError(f"network.layers: {weights:,} weights, expected at most {MOST_WEIGHTS:,}; choose fewer layers")
    return tuple(counts)
