"""The axes of a model's input, whose numbers get relevance, though no raster holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from torch import Tensor

from spikesam.backends.network import Shape
from spikesam.common.errors import InputError
from spikesam.common.warning import warn
from spikesam.pipeline.record._batch import LayerBits
from spikesam.pipeline.record._layouts import (
    Axes,
    Layout,
    batch_first,
    one_step,
    shape_of_step,
    time_first,
)


class Pixels(NamedTuple):
    """The input of a model, whose numbers no raster holds."""

    layout: Layout
    shape: Shape  # (C, H, W)
    steps: int


class InputAxes:
    """The layout of a model's input in all batches, as its caller names the axes, or shapes tell it
    in the first batch.
    """

    def __init__(self, axes: Axes | None) -> None:
        self._axes = axes
        self._begun = False
        self._layout: Layout | None = None  # None if the input gets no map

    def pixels(self, inputs: Sequence[Tensor], first: LayerBits) -> Pixels | None:
        """How the tensors of the model's calls are read, where `first` is a recorded layer; None,
        which is said, if that is not known in the first batch.
        """
        known = not self._begun or self._layout is not None
        self._begun = True
        layout = self._layout_of(inputs, first) if known else None
        self._layout = layout
        if layout is None:
            return None
        steps = [layout(tensor) for tensor in inputs]
        return Pixels(layout, shape_of_step(steps[0][0]), first.steps)

    def _layout_of(self, inputs: Sequence[Tensor], first: LayerBits) -> Layout | None:
        if not inputs:
            _say_without_map("the model's first argument is no tensor of floating-point numbers")
            return None
        if self._axes is not None:
            return self._named(self._axes, inputs, first)
        layouts = {input_layout(tensor, len(inputs), first) for tensor in inputs}
        layout = next(iter(layouts)) if len(layouts) == 1 else None
        if layout is None and self._layout is None:
            _say_without_map(
                f"the axes of the model's input {tuple(inputs[0].shape)} are not known, at "
                f"{first.steps} steps of {first.samples} samples",
                "; name them, such as axes={'input': 'T B C H W'}",
            )
        return layout or self._layout  # of an earlier batch

    def _named(self, axes: Axes, inputs: Sequence[Tensor], first: LayerBits) -> Layout:
        """By the caller's names; refuses those that do not fit."""
        sizes = {"T": first.steps, "B": first.samples}

        def arranged(tensor: Tensor) -> Tensor:
            return axes.arrange(tensor, sizes, _refuse_tokens)

        for tensor in inputs:
            steps, samples = arranged(tensor).shape[:2]
            if samples != first.samples or steps * len(inputs) not in (1, first.steps):
                raise InputError(
                    f"axes: 'input': {axes.pattern!r} says {steps} steps of {samples} samples of "
                    f"the model's input {tuple(tensor.shape)}, in {len(inputs)} calls, expected "
                    f"{first.steps} steps of {first.samples} samples, as the layers have"
                )
        return arranged


def _say_without_map(reason: str, advice: str = "") -> None:
    warn(f"why: {reason}, so the input gets no map{advice}")


def _refuse_tokens(tokens: int | None) -> NoReturn:
    raise InputError("axes: 'input': got N, expected H and W, rows and columns")


def input_layout(x: Tensor, calls: int, first: LayerBits) -> Layout | None:
    """The layout of what a model is given in each of its calls; None if shapes leave it open.

    `first` is a recorded layer. In one call with no axis of steps, an image enters at step 0.
    """
    steps, samples = first.steps, first.samples
    if x.ndim in (2, 4) and len(x) == samples and calls in (1, steps):
        times = calls == 1 < steps and x.ndim == 4 and x.shape[1] == samples == steps
        return None if times else one_step  # (T, B, H, W) or (B, C, H, W)
    if calls != 1:
        return None
    if x.ndim in (2, 4) and len(x) == samples * steps and len(first.layout(x)) == steps:
        return first.layout  # (B·T, …)
    if x.ndim == 5 and steps != samples:
        for layout in (time_first, batch_first):
            if layout(x).shape[:2] == (steps, samples):
                return layout
    return None
