"""Inputs, steps, modules and parameters that have no influence on what a model returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from spikesam.pipeline.check._trace import Trace
from spikesam.pipeline.check.findings import Finding
from spikesam.pipeline.imports.torch.call import tensors
from spikesam.pipeline.record.constants import SHAPED_ALIKE, name_of

ATTRIBUTES = frozenset(  # and methods, which read no values
    """device dim dtype is_complex is_contiguous is_cuda is_floating_point is_leaf layout ndim
    ndimension nelement numel requires_grad requires_grad_ shape size stride""".split()  # noqa: SIM905
)
LISTED = 4  # parameters named in a finding


class ParameterReads(TorchFunctionMode):
    """The parameters whose values a function of torch reads while a model runs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._waiting = {id(parameter): parameter for parameter in model.parameters()}

    def attached(self) -> AbstractContextManager[Any]:
        """Look on within the block."""
        return self

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        if self._waiting and name_of(function) not in SHAPED_ALIKE | ATTRIBUTES:
            for tensor in tensors((arguments, keywords)):
                self._waiting.pop(id(tensor), None)
        return function(*arguments, **(keywords or {}))

    def unread(self, parameter: nn.Parameter) -> bool:
        """True of a parameter of the model that nothing read."""
        return id(parameter) in self._waiting


def ignored_parameters(model: nn.Module, base: Trace, reads: ParameterReads) -> Iterator[Finding]:
    """The modules that never ran, nor any part of them, and whose parameters nothing read, the
    largest alone; and of the others the parameters that nothing read.
    """
    unused: list[str] = []
    for name, module in model.named_modules():  # the holders first
        if isinstance(module, torch.jit.ScriptModule):
            continue  # what it reads is not seen
        if any(name.startswith(f"{holder}.") for holder in unused):
            continue
        ran = any(called == name or called.startswith(f"{name}.") for called in base.counts)
        parameters = list(module.parameters())
        if not ran and parameters and all(map(reads.unread, parameters)):
            unused.append(name)
            count = sum(parameter.numel() for parameter in parameters)
            yield Finding(
                "ignored",
                name,
                f"it has {count:,} parameters, and its forward never ran",
                "call it or leave it out",
            )
            continue
        own = {
            own_name: parameter
            for own_name, parameter in module.named_parameters(recurse=False)
            if reads.unread(parameter)
        }
        if own:
            count = sum(parameter.numel() for parameter in own.values())
            names = ", ".join(map(repr, list(own)[:LISTED])) + ", …" * (len(own) > LISTED)
            yield Finding(
                "ignored",
                name,
                f"it never reads {'parameter' if len(own) == 1 else 'parameters'} {names}, "
                f"{count:,} {'number' if count == 1 else 'numbers'}",
                "use it in forward, or leave it out: training does not change it",
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
