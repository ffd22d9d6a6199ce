"""Numbers of NIR nodes, checked: whatever an attribute holds, it becomes what a layer can take or one error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NetworkError, Shape, checks, pair
from spikesam.backends.network.checks import array, one_or_pair
from spikesam.pipeline.imports.nir import KEY


def numbers(value: Any, what: str, where: str) -> NDArray[np.float64]:
    """Finite numbers in double precision."""
    found = array(value, np.float64, what, where)
    if not found.size:
        raise NetworkError(f"{where}: {what} has shape {found.shape}, expected numbers")
    return found


def whole_attribute(value: Any, what: str, where: str, least: int) -> int:
    """An integer, in whatever type."""
    listed = np.asarray(value).ravel().tolist()
    return checks.whole(listed[0] if len(listed) == 1 else listed, what, where, least)


def sides(value: Any, what: str, where: str, least: int) -> tuple[int, int]:
    """(y, x) of one integer or two, in whatever type."""
    listed = np.asarray(value).ravel().tolist()
    return pair(one_or_pair(listed[0] if len(listed) == 1 else listed, what, where, least))


def shape_of(declared: Any, where: str) -> Shape:
    """(C, H, W) of what a node says, (C, H, W), (C, L) of rows, which are maps of height 1, or (N,)."""
    shape = np.ravel(declared).tolist()
    if len(shape) not in (1, 2, 3) or not all(isinstance(length, int) and length > 0 for length in shape):
        raise NetworkError(f"{where}: shape is {tuple(shape)}, expected (C, H, W), (C, L) or (N,)")
    channels, *sides = shape
    height, width = [1] * (2 - len(sides)) + sides
    return channels, height, width


def metadata(node: Any, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    """The metadata that :func:`spikesam.pipeline.imports.nir.write.to_nir` wrote, because NIR cannot say it."""
    about = node.metadata
    said = about.get(KEY, {}) if isinstance(about, dict) else about
    if not isinstance(said, dict) or said.keys() - set(known):
        found = ", ".join(map(repr, said)) if isinstance(said, dict) else type(said).__name__
        raise NetworkError(f"{where}: metadata {KEY!r} hold {found}, expected some of {', '.join(known)}")
    return said


def text(shape: tuple[int, ...]) -> str:
    """(16, 8, 8) -> "(16, 8, 8)", and (10, 1, 1) -> "(10,)", as NIR writes it."""
    return str(shape[:1] if shape[1:] == (1, 1) else shape)


def divided(weight: Any, gain: Any) -> Any:
    """Weights without a factor by channel; those of a factor 0 are lost."""
    factor = gain.reshape(-1, *(1,) * (weight.ndim - 1))
    return np.divide(weight, factor, out=np.zeros(weight.shape), where=factor != 0).astype(np.float32)
