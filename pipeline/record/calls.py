"""The order in which a model calls its modules: a module that is called in turn for several layers shows there."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor

Call = tuple[str, str | None]  # a module, and the one whose output it got, as it was; None if that is not known


class Calls:
    """The calls of modules in one call of a model.

    Where a model loops over steps, from the second step on a layer is called after the same modules as at the step
    before, with what the same modules put out; once that is known it stays known, which takes some steps where layers
    hand on what they gave at the step before. What is called before the first step may differ.
    """

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._outputs: dict[str, weakref.ref[Tensor]] = {}  # of each module, the last one
        self._ways: dict[
            str, list[tuple[Call, ...]]
        ] = {}  # calls that led to the first and to the last call of a module
        self._ends: dict[str, int] = {}

    def see(self, name: str, inputs: Any, output: Any) -> None:
        """Note a call that has ended."""
        given = inputs[0] if inputs else None
        made = (module for module, output in self._outputs.items() if given is not None and output() is given)
        self._calls.append((name, next(made, None)))
        while isinstance(output, tuple) and output:
            output = output[0]
        if isinstance(output, Tensor):
            self._outputs[name] = weakref.ref(output)

    def differ(self, name: str) -> bool:
        """Whether the call of a module that was just seen cannot be the next step after the call before it."""
        way, before = tuple(self._calls[self._ends.get(name, 0) :]), self._ways.setdefault(name, [])
        self._ends[name] = len(self._calls)
        before.append(way)
        if len(before) == 2:
            makers = {each[-1][1] for each in before} - {None}
            return len(makers) > 1
        if len(before) < 2:
            return False
        known, before[1:] = before[1], [way]
        same = [module for module, _ in known] == [module for module, _ in way]
        return not same or any(maker not in (None, now) for (_, maker), (_, now) in zip(known, way, strict=True))
