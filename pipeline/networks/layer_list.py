"""The list that describes a network: 3×3 convolutions, "P" pools, "A4" transformer blocks, dense
and recurrent ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spikesam.backends.network import Shape, Sides
from spikesam.backends.network.consistency import MOST_LAYERS
from spikesam.common.errors import InputError

MOST_OUTPUTS = 1 << 16  # channels, or dense neurons
MOST_WEIGHTS = 1 << 29  # of all layers: a file of 2 GB


@dataclass(frozen=True)
class LayerPlan:
    """A layer still without weights, behind average pooling `pool`, of the sum of `reads`, or of
    the layer before.
    """

    name: str
    kind: str  # "conv", "dense" or "attention"
    outputs: int
    pool: int
    side: int = 3  # of a convolution's kernel
    reads: tuple[str, ...] = ()
    heads: int = 0
    recurrent: bool = False  # dense, and reads itself, a step later


def outline(plans: Iterable[LayerPlan]) -> list[tuple[str, int, Sides]]:
    """Kind, outputs and pool of every layer: what two networks of one description share."""
    return [
        (
            "recurrent" if plan.recurrent else "dense" if plan.kind == "dense" else "conv",
            plan.outputs,
            plan.pool,
        )
        for plan in plans
    ]


def plan_depths(plans: Sequence[LayerPlan]) -> dict[str, int]:
    """By which step spikes of the first input step have reached each layer."""
    depths, previous = {"input": 0}, "input"
    for plan in plans:
        depths[plan.name] = 1 + max(depths[name] for name in plan.reads or (previous,))
        previous = plan.name
    return depths


def description(outline: Iterable[tuple[str, int, Sides]]) -> tuple[int | str, ...]:
    """The list that :func:`plan_layers` reads as layers of this outline."""
    entries: list[int | str] = []
    for kind, outputs, pool in outline:
        if pool != 1:
            entries.append("P" if pool == 2 else f"P{pool}")
        entries.append(
            outputs if kind == "conv" else f"{'R' if kind == 'recurrent' else 'D'}{outputs}"
        )
    return tuple(entries)


def plan_layers(description: Sequence[int | str]) -> tuple[LayerPlan, ...]:
    """Read a list such as ``[64, "P", 128, "A4", "P4", "D4096"]``; an InputError names what is not
    understood.
    """
    plans: list[LayerPlan] = []
    pool = 1
    reads: tuple[str, ...] = ()  # the layers whose sum a block leaves to what follows
    if len(description) > MOST_LAYERS:
        raise InputError(
            f"network.layers: got {len(description):,} entries, expected at most {MOST_LAYERS:,}"
        )
    for position, entry in enumerate(description, 1):
        text = str(entry)
        if match := re.fullmatch(r"P(\d{0,18})", text):
            pool *= int(match[1] or 2)
        elif match := re.fullmatch(r"([DR]?)(\d{1,18})", text):
            kind = "dense" if match[1] else "conv"
            if kind == "conv" and plans and plans[-1].kind == "dense":
                raise InputError(
                    f"network.layers, entry {position}: convolution {text} after a dense layer"
                )
            number = 1 + sum(plan.kind == kind for plan in plans)
            name = f"{'fc' if kind == 'dense' else 'conv'}{number}"
            plans.append(
                LayerPlan(name, kind, int(match[2]), pool, reads=reads, recurrent=match[1] == "R")
            )
            pool, reads = 1, ()
        elif match := re.fullmatch(r"A(\d{1,18})", text):
            heads, number = int(match[1]), 1 + sum(plan.kind == "attention" for plan in plans)
            channels = plans[-1].outputs if plans and plans[-1].kind == "conv" and pool == 1 else 0
            if not heads or not channels or channels % heads:
                raise InputError(
                    f"network.layers, entry {position}: {text} is a block with {heads} heads, "
                    "expected a convolution "
                    "in front of it, or another block, whose channels they divide"
                )
            block = _block(f"block{number}", heads, channels, reads or (plans[-1].name,))
            reads = (*block[0].reads, block[4].name, block[6].name)
            plans.extend(block)
        else:
            raise InputError(
                f'network.layers, entry {position}: got {entry!r}, expected channels of a 3×3 convolution (64), "P" or '
                '"P4" for average pooling, "A4" for a transformer block, or "D256" or "R256" for 256 dense neurons'
            )
        if pool < 1 or (plans and not 1 <= plans[-1].outputs <= MOST_OUTPUTS):
            raise InputError(
                f"network.layers, entry {position}: got {entry!r}, expected a number of 1 to "
                f"{MOST_OUTPUTS:,}"
            )
    if not plans or plans[-1].kind != "dense" or pool > 1:
        raise InputError('network.layers: the last entry must be dense neurons such as "D128"')
    return tuple(plans)


def _block(name: str, heads: int, channels: int, reads: tuple[str, ...]) -> list[LayerPlan]:
    """A Spikformer's block: attention and two layers over channels, each added to what it reads."""
    joined = tuple(f"{name}_{part}" for part in "qkv")
    return [
        *(LayerPlan(part_name, "conv", channels, 1, 1, reads) for part_name in joined),
        LayerPlan(f"{name}_attention", "attention", channels, 1, 1, joined, heads),
        LayerPlan(f"{name}_projection", "conv", channels, 1, 1),
        LayerPlan(f"{name}_hidden", "conv", 2 * channels, 1, 1, (*reads, f"{name}_projection")),
        LayerPlan(f"{name}_output", "conv", channels, 1, 1),
    ]


def count_inputs(plans: Sequence[LayerPlan], shape: Shape) -> tuple[int, ...]:
    """The channels (dense: features) that each layer gets for images of (C, H, W)."""
    channels, height, width = shape
    counts: list[int] = []
    for plan in plans:
        if height % plan.pool or width % plan.pool:
            raise InputError(
                f"network.layers: pooling {plan.pool} in front of {plan.name} does not divide its "
                f"{height}×{width} "
                "input; change data.height, data.width or the pooling"
            )
        height, width = height // plan.pool, width // plan.pool
        if plan.kind == "dense":
            channels *= height * width
            height = width = 1
        counts.append(channels)
        channels = plan.outputs
    weights = sum(
        count * plan.outputs * (plan.side**2 if plan.kind == "conv" else 1)
        for count, plan in zip(counts, plans, strict=True)
    )
    if weights > MOST_WEIGHTS:
        raise InputError(
            f"network.layers: {weights:,} weights, expected at most {MOST_WEIGHTS:,}; choose fewer "
            "layers"
        )
    return tuple(counts)
