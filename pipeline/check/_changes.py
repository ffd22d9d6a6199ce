"""Findings of two runs that differ in one sample, in the last step, or in nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from spikesam.pipeline.check._trace import Fingerprint, Trace, TracedCall
from spikesam.pipeline.check.findings import Finding

Pair = tuple[TracedCall, TracedCall]


def _pairs(base: Trace, changed_run: Trace) -> Iterator[Pair]:
    """The calls of two runs beside each other, as far as they go alike."""
    for first, second in zip(base.calls, changed_run.calls, strict=False):
        if (first.module, len(first.left)) != (second.module, len(second.left)):
            return
        yield first, second


def samples_mixed(base: Trace, changed_run: Trace, sample: int, samples: int) -> Finding | None:
    """The first module that gives other samples another result where `sample` was replaced, or gets
    other numbers there, which need not change what its neurons fire.
    """
    for first, second in _pairs(base, changed_run):
        strict = first.module == ""
        mixed_in_front = _others(first.arrived, second.arrived, sample, samples, False)
        if not (mixed_in_front or _others(first.left, second.left, sample, samples, strict)):
            continue
        shape = "×".join(map(str, first.left[0].shape))
        sentence = f"sample {sample} of {samples} was replaced, and others changed in its {shape}"
        if mixed_in_front:
            sentence = (
                f"sample {sample} of {samples} was replaced, and others changed in what arrives "
                f"there, {'×'.join(map(str, first.arrived[0].shape))}"
            )
        return Finding(
            "samples mixed",
            first.module,
            sentence,
            "see which axes it takes: steps and samples are often one axis where the neuron takes "
            "two, or a mean runs over the samples",
        )
    return None


def _others(
    first: Iterable[Fingerprint],
    second: Iterable[Fingerprint],
    sample: int,
    samples: int,
    strict: bool,
) -> bool:
    """True if any tensor changed in more than one sample, whichever axis has the samples."""
    for values, changed_values in zip(first, second, strict=False):
        changed = values.changed(changed_values)
        if changed is None or not any(len(places) for places in changed):
            continue
        if strict and len(values.shape) == 2 and values.shape[0] == samples:
            if changed[0].tolist() != [sample]:
                return True
            continue
        axes = [axis for axis, size in enumerate(values.shape) if size % samples == 0]
        axes = [axis for axis in axes if axis < 2] or axes  # the others are channels and places
        if axes and not any(
            _within(changed[axis], values.shape[axis], sample, samples) for axis in axes
        ):
            return True
    return False


def _within(changed: Tensor, size: int, index: int, count: int) -> bool:
    """True if all indices of an axis that changed may be those of one sample, or step.

    An axis that holds more than the samples has each of them at all places (i // k) % count, for
    some k.
    """
    share = size // count
    return any(
        bool(((changed // stride) % count == index).all())
        for stride in range(1, share + 1)
        if share % stride == 0
    )


def later_steps(
    base: Trace, changed_run: Trace, sizes: tuple[int, int], axes: dict[str, str]
) -> Finding | None:
    """The first module that gives earlier steps another result where the last step was replaced.

    `axes` are those of modules whose axis of steps is known.
    """
    steps, samples = sizes
    for first, second in _pairs(base, changed_run):
        for values, changed_values in zip(first.left[:1], second.left[:1], strict=False):
            changed = values.changed(changed_values)
            if changed is None or not any(len(places) for places in changed):
                continue
            early = _early(first, values, changed, base, steps, samples, axes)
            if early is not None and early < steps - 1:
                return Finding(
                    "later steps",
                    first.module,
                    f"the input of step {steps - 1} was replaced, and step {early} changed",
                    "see that its axis of steps is the first it takes; neurons that look ahead by "
                    "design, such as PSN, cannot run step by step",
                )
    return None


def _early(
    call: TracedCall,
    values: Fingerprint,
    changed: list[Tensor],
    base: Trace,
    steps: int,
    samples: int,
    axes: dict[str, str],
) -> int | None:
    """The first step that changed in what a call gave; None where it is not known which axis that
    is.
    """
    if base.counts[call.module] == steps and samples != steps and values.shape[0] == samples:
        return call.index
    known = axes.get(call.module)
    place = {"TB...": 0, "BT...": 1, "B...T": len(values.shape) - 1}.get(known or "")
    if place is None:
        if samples == steps or base.counts[call.module] != 1 or len(values.shape) < 3:
            return None
        layouts = set(axes.values())
        if "TB..." in layouts and values.shape[:2] == (steps, samples):
            place = 0
        elif "BT..." in layouts and values.shape[:2] == (samples, steps):
            place = 1
    if place is None or place >= len(values.shape) or values.shape[place] != steps:
        return None
    return int(changed[place].min())


def first_that_differs(base: Trace, changed_run: Trace) -> str | None:
    """The first module that gave another result; None if none did."""
    for first, second in _pairs(base, changed_run):
        for values, changed_values in zip(first.left, second.left, strict=True):
            if not values.same(changed_values):
                return first.module
    if len(base.calls) != len(changed_run.calls):
        return ""
    return None
