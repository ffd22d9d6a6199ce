"""The list that describes a network: 3×3 convolutions, "P" pools, "A4" transformer blocks, dense
and recurrent ones.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from spikesam.backends.network import Attention, Conv, Dense, Shape, Sides, Synapse
from spikesam.backends.network.consistency import MOST_LAYERS
from spikesam.common.errors import InputError

LETTERS = {"conv": "", "dense": "D", "recurrent": "R"}  # in front of a layer's outputs
MOST_OUTPUTS = 1 << 16  # channels, or dense neurons
MOST_WEIGHTS = 1 << 29  # of all layers: a file of 2 GB


@dataclass(frozen=True)
class LayerPlan(ABC):
    """A layer still without weights, behind average pooling `pool`, of the sum of `reads`, or of
    the layer before.
    """

    name: str
    outputs: int
    pool: int = 1
    reads: tuple[str, ...] = ()

    flattens: ClassVar[bool] = False  # whether it reads a map as one row of numbers

    @property
    def kind(self) -> str:
        """Its kind in an outline."""
        return "conv"

    @property
    def needs_spikes(self) -> bool:
        """True if no ANN can have it: it multiplies spikes, or reads its own of the step before."""
        return False

    @abstractmethod
    def weights(self, inputs: int) -> int:
        """The number of its weights, for so many input channels or features."""

    @abstractmethod
    def synapse(self, weight: Any) -> Synapse:
        """Its synapses, of trained weights."""


@dataclass(frozen=True)
class ConvPlan(LayerPlan):
    """A convolution of `side` × `side` places, which keeps the sides of the map."""

    side: int = 3

    def weights(self, inputs: int) -> int:
        """See :meth:`LayerPlan.weights`."""
        return inputs * self.outputs * self.side**2

    def synapse(self, weight: Any) -> Conv:
        """See :meth:`LayerPlan.synapse`."""
        return Conv(weight, pool=self.pool, padding=self.side // 2)


@dataclass(frozen=True)
class DensePlan(LayerPlan):
    """Neurons that read a whole map; `recurrent` ones themselves, too, a step later."""

    recurrent: bool = False

    flattens = True

    @property
    def kind(self) -> str:
        """See :attr:`LayerPlan.kind`."""
        return "recurrent" if self.recurrent else "dense"

    @property
    def needs_spikes(self) -> bool:
        """See :attr:`LayerPlan.needs_spikes`."""
        return self.recurrent

    def weights(self, inputs: int) -> int:
        """See :meth:`LayerPlan.weights`."""
        return inputs * self.outputs

    def synapse(self, weight: Any) -> Dense:
        """See :meth:`LayerPlan.synapse`."""
        return Dense(weight, pool=self.pool)


@dataclass(frozen=True, kw_only=True)
class AttentionPlan(LayerPlan):
    """Products of the spikes of q, k and v, which it reads."""

    heads: int

    needs_spikes = True

    def weights(self, inputs: int) -> int:
        """See :meth:`LayerPlan.weights`."""
        return 0

    def synapse(self, weight: Any) -> Attention:
        """See :meth:`LayerPlan.synapse`."""
        return Attention(self.heads)


def outline(plans: Iterable[LayerPlan]) -> list[tuple[str, int, Sides]]:
    """Kind, outputs and pool of every layer: what two networks of one description share."""
    return [(plan.kind, plan.outputs, plan.pool) for plan in plans]


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
        letter = LETTERS[kind]
        entries.append(f"{letter}{outputs}" if letter else outputs)
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
            letter, outputs = match[1], int(match[2])
            number = 1 + sum(isinstance(plan, DensePlan if letter else ConvPlan) for plan in plans)
            if letter:
                plans.append(DensePlan(f"fc{number}", outputs, pool, reads, letter == "R"))
            elif plans and plans[-1].flattens:
                raise InputError(
                    f"network.layers, entry {position}: convolution {text} after a dense layer"
                )
            else:
                plans.append(ConvPlan(f"conv{number}", outputs, pool, reads))
            pool, reads = 1, ()
        elif match := re.fullmatch(r"A(\d{1,18})", text):
            heads, number = (
                int(match[1]),
                1 + sum(isinstance(plan, AttentionPlan) for plan in plans),
            )
            of_maps = plans and not plans[-1].flattens and pool == 1
            channels = plans[-1].outputs if of_maps else 0
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
                f"network.layers, entry {position}: got {entry!r}, expected channels of a 3×3 "
                'convolution (64), "P" or '
                '"P4" for average pooling, "A4" for a transformer block, or "D256" or "R256" for '
                "256 dense neurons"
            )
        if pool < 1 or (plans and not 1 <= plans[-1].outputs <= MOST_OUTPUTS):
            raise InputError(
                f"network.layers, entry {position}: got {entry!r}, expected a number of 1 to "
                f"{MOST_OUTPUTS:,}"
            )
    if not plans or not plans[-1].flattens or pool > 1:
        raise InputError('network.layers: the last entry must be dense neurons such as "D128"')
    return tuple(plans)


def _block(name: str, heads: int, channels: int, reads: tuple[str, ...]) -> list[LayerPlan]:
    """A Spikformer's block: attention and two layers over channels, each added to what it reads."""
    joined = tuple(f"{name}_{part}" for part in "qkv")
    return [
        *(ConvPlan(part_name, channels, reads=reads, side=1) for part_name in joined),
        AttentionPlan(f"{name}_attention", channels, reads=joined, heads=heads),
        ConvPlan(f"{name}_projection", channels, side=1),
        ConvPlan(f"{name}_hidden", 2 * channels, reads=(*reads, f"{name}_projection"), side=1),
        ConvPlan(f"{name}_output", channels, side=1),
    ]


def count_inputs(plans: Sequence[LayerPlan], shape: Shape) -> tuple[int, ...]:
    """The channels (dense: features) that each layer gets for images of (C, H, W)."""
    channels, height, width = shape
    counts: list[int] = []
    for plan in plans:
        if height % plan.pool or width % plan.pool:
            raise InputError(
                f"network.layers: pooling {plan.pool} in front of {plan.name} does not divide its "
                f"{height}×{width} input; change data.height, data.width or the pooling"
            )
        height, width = height // plan.pool, width // plan.pool
        if plan.flattens:
            channels *= height * width
            height = width = 1
        counts.append(channels)
        channels = plan.outputs
    weights = sum(plan.weights(count) for count, plan in zip(counts, plans, strict=True))
    if weights > MOST_WEIGHTS:
        raise InputError(
            f"network.layers: {weights:,} weights, expected at most {MOST_WEIGHTS:,}; choose fewer "
            "layers"
        )
    return tuple(counts)
