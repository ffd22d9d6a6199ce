"""Numbers of Python that a model makes of spikes, such as `spikes.mean().item()`.

Nobody sees what becomes of them in Python. So once one has left, each number that a function of
torch gets afterwards may be made of it, unless it stands in the code of whoever calls, is the size
of a tensor, or was an attribute of a module before. To refuse every model that makes such numbers
would refuse those that only write down how much fires; a warning alone would leave maps that are
wrong. What chooses which code runs (`if spikes.any():`) is a choice, as an index is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np
from torch import Tensor, nn

OWN = ("torch", "spikesam")  # packages whose code is not the model's
# Functions whose whole numbers are no sizes, axes or indices alone.
ARITHMETIC = frozenset(
    """add sub subtract mul multiply div divide true_divide floor_divide rsub pow float_power fmod
    remainder where masked_fill fill full full_like new_full tensor as_tensor new_tensor asarray
    scalar_tensor clamp clip clamp_min clamp_max lerp maximum minimum addcmul addcdiv ldexp
    __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __div__ __rdiv__
    __truediv__ __rtruediv__ __itruediv__ __floordiv__ __rfloordiv__ __pow__ __rpow__ __ipow__
    __mod__ __rmod__ __setitem__""".split()  # noqa: SIM905
)


class PythonNumbers:
    """The numbers of Python of a batch that are made of spikes."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.forget()

    def forget(self) -> None:
        """All numbers."""
        self._left: set[Any] | None = None  # None as long as none has left

    def leave(self, numbers: Any) -> None:
        """Take what left torch."""
        if self._left is None:
            self._left, self._attributes = set(), set()
            for module in self._model.modules():
                self._attributes |= set(_numbers(list(vars(module).values())))
        self._left |= set(_numbers([numbers]))

    def may_be_among(
        self, name: str, arguments: Any, keywords: Any, given: Sequence[Tensor]
    ) -> bool:
        """True if a function of this name gets a number that may be made of one that left."""
        if self._left is None:
            return False
        for number in _numbers([arguments, keywords]):
            whole = isinstance(number, (int, np.integer))
            if whole and not {name, name.removesuffix("_")} & ARITHMETIC:
                continue
            if number in self._left:
                return True
            sizes = {size for tensor in given for size in tensor.shape}
            if number not in self._attributes | sizes and number not in _literals():
                return True
        return False


def _numbers(values: Any) -> Iterator[Any]:
    """The numbers of Python and NumPy in values."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _numbers(value)
        elif isinstance(value, dict):
            yield from _numbers(value.values())
        elif isinstance(value, (float, int, complex, np.number)) and not isinstance(value, bool):
            yield value


def called_by_spikesam() -> bool:
    """True if the nearest function that is not torch's, nor of the function mode, is ours."""
    frame: FrameType | None = sys._getframe(1)
    mode = frame.f_globals.get("__name__") if frame else None
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        package = name.partition(".")[0]
        if name != mode and package != "torch":
            return bool(package == "spikesam")
        frame = frame.f_back
    return False


def _literals() -> set[Any]:
    """The numbers in the code of the nearest function that is neither torch's nor ours."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OWN:
        frame = frame.f_back
    return set() if frame is None else set(_numbers(frame.f_code.co_consts))
