"""Inputs, steps and modules that have no influence on what a model returns."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from spikesam.pipeline.check._trace import Trace
from spikesam.pipeline.check.findings import Finding


def ignored_modules(model: nn.Module, base: Trace) -> Iterator[Finding]:
    """The modules with parameters that never ran, nor any part of them; the largest alone."""
    attention = [
        name for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)
    ]  # whose forward uses the weights of its parts
    unused: list[str] = []
    for name, module in model.named_modules():  # the holders first
        inside = any(name.startswith(f"{holder}.") for holder in [*unused, *attention])
        ran = any(called == name or called.startswith(f"{name}.") for called in base.counts)
        count = sum(parameter.numel() for parameter in module.parameters())
        if inside or ran or not count:
            continue
        unused.append(name)
        yield Finding(
            "ignored",
            name,
            f"it has {count:,} parameters, and its forward never ran",
            "call it or leave it out; a forward that uses its weights directly is not seen",
        )


def ignored_input(base: Trace, changed_run: Trace, replaced: str) -> Finding | None:
    """A finding of a replaced input, if nothing that the model returned changed."""
    calls_of_model = [call for call in base.calls if call.module == ""]
    changed_calls = [call for call in changed_run.calls if call.module == ""]
    pairs = list(zip(calls_of_model, changed_calls, strict=False))
    for first, second in pairs:
        if len(first.left) != len(second.left):
            return None
        if not all(
            values.same(changed_values)
            for values, changed_values in zip(first.left, second.left, strict=True)
        ):
            return None
    if not any(call.left for call in calls_of_model):
        return None
    return Finding(
        "ignored",
        "",
        f"{replaced} was replaced, and nothing that the model returned changed",
        "see whether it is read at all, and whether layers are silent",
    )
