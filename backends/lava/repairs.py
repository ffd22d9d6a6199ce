"""Three repairs that let lava-nc 0.10.0, which was written for Python 3.10 and NumPy 1, run on newer ones."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

BROKEN_MODULE = "lava.magma.compiler.var_model"


def repair_lava() -> None:
    """Import and repair the modules of Lava that need it, before Lava is imported; a second call changes nothing."""
    _import_dataclasses()
    _reshape_without_keyword()


def _import_dataclasses() -> None:
    """Make the dataclasses of a module, which are defaults of fields, hashable, as Python 3.11 demands."""
    original = dataclasses.dataclass

    def hashable(cls: type | None = None, /, **options: Any) -> Any:
        if cls is not None and cls.__module__ == BROKEN_MODULE:
            options["unsafe_hash"] = True
        return original(cls, **options)

    dataclasses.dataclass = hashable
    try:
        import lava.magma.compiler.var_model  # noqa: F401
    finally:
        dataclasses.dataclass = original


def _reshape_without_keyword() -> None:
    """Let a reshaped port call `array.reshape(shape)`, not `newshape=…`, which NumPy 2.5 does not know."""
    from lava.magma.core.process.ports.ports import ReshapePort

    ReshapePort.get_transform_func_fwd = lambda port: operator.methodcaller("reshape", port.shape)
    ReshapePort.get_transform_func_bwd = lambda port: operator.methodcaller("reshape", port.old_shape)


def repair_convolutions() -> None:
    """Let Lava's `Conv` have 128 channels and more: it stores its number of groups as an int8."""
    import numpy as np
    from lava.magma.core.model.py.type import LavaPyType
    from lava.proc.conv.models import AbstractPyConvModel

    AbstractPyConvModel.groups = LavaPyType(np.ndarray, np.int32, precision=8)
