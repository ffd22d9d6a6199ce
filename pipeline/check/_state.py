"""The numbers that modules keep from one run to the next."""

from __future__ import annotations

from typing import Any

from torch import nn

from spikesam.pipeline.check._trace import Fingerprint
from spikesam.pipeline.check.findings import Finding
from spikesam.pipeline.imports.torch.call import tensors

Key = tuple[str, str]  # a module and an attribute of it


def states(model: nn.Module) -> dict[Key, Any]:
    """Fingerprints of all tensors in attributes and buffers of modules, and numbers themselves.

    Parameters are left out, as a run does not change them, and zeros, as they are at rest.
    """
    numbers: dict[Key, Any] = {}
    for name, module in model.named_modules():
        values = {**vars(module), **module._buffers}
        for attribute, value in values.items():
            if attribute in ("_parameters", "_modules", "_buffers") or "hooks" in attribute:
                continue
            if isinstance(value, int | float) and not isinstance(value, bool):
                numbers[name, attribute] = value
                continue
            prints = [Fingerprint.of(tensor) for tensor in tensors(value) if tensor.any()]
            if prints:
                numbers[name, attribute] = prints
    return numbers


def left_over(
    first: dict[Key, Any], second: dict[Key, Any], module: str, *, by_chance: bool
) -> Finding | None:
    """The state that made the results of a module differ, the one that is nearest to it.

    States are those before the first and before the second of two equal runs. Where a run drew
    random numbers, states of the modules that hold the module explain nothing.
    """
    changed = [
        key
        for key in dict.fromkeys([*second, *first])
        if not _same(first.get(key), second.get(key))
    ]
    near = [key for key in changed if f"{key[0]}.".startswith(f"{module}." if module else "")]
    holders = [key for key in changed if not key[0] or f"{module}.".startswith(f"{key[0]}.")]
    for name, attribute in near or holders * (not by_chance):
        return Finding(
            "state left over",
            name,
            f"the second of two equal runs gives another result, and begins with another "
            f"{attribute!r}, which nothing resets",
            "reset it before each batch, and tell check how with reset=",
        )
    return None


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(
            print_before.same(print_after)
            for print_before, print_after in zip(first, second, strict=True)
        )
    return type(first) is type(second) and bool(first == second)
