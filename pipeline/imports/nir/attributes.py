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
    return array(value, np.float64, what, where)


def by_channel(value: Any, shape: Shape, what: str, where: str) -> NDArray[np.float64]:
    """(C,) of one number, or of a number per neuron of a (C, H, W) map that is the same in every channel."""
    found = numbers(value, what, where)
    if found.shape in ((), (1,)):
        return np.full(shape[0], found.item())
    if found.shape != shape and (*found.shape, 1, 1) != shape:
        raise NetworkError(
            f"{where}: {what} has shape {found.shape}, expected {text(shape)}, that of the map before it"
        )
    rows = found.reshape(len(found), -1)
    if (rows != rows[:, :1]).any():
        channel = int((rows != rows[:, :1]).any(axis=1).argmax())
        raise NetworkError(f"{where}: {what} differs between neurons of channel {channel}, expected one per channel")
    return rows[:, 0]


def whole(value: Any, what: str, where: str, least: int) -> int:
    """An integer, in whatever type."""
    listed = np.asarray(value).ravel().tolist()
    return checks.whole(listed[0] if len(listed) == 1 else listed, what, where, least)


def sides(value: Any, what: str, where: str, least: int) -> tuple[int, int]:
    """(y, x) of one integer or two, in whatever type."""
    listed = np.asarray(value).ravel().tolist()
    return pair(one_or_pair(listed[0] if len(listed) == 1 else listed, what, where, least))


def same_shape(declared: Any, shape: Shape, what: str, where: str) -> None:
    """Refuse a shape that a node says, if the map before it has another; (C,) and (C, 1, 1) are the same map."""
    if declared is None:
        return
    found = tuple(np.asarray(declared).ravel().tolist())
    if found != shape and (*found, 1, 1) != shape:
        raise NetworkError(f"{where}: {what} is {found}, expected {text(shape)}, the map before it")


def metadata(node: Any, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    """What :func:`spikesam.pipeline.imports.nir.write.to_nir` wrote beside a node, because NIR cannot say it."""
    about = node.metadata
    said = about.get(KEY, {}) if isinstance(about, dict) else about
    if not isinstance(said, dict) or said.keys() - set(known):
        found = ", ".join(map(repr, said)) if isinstance(said, dict) else type(said).__name__
        raise NetworkError(f"{where}: metadata {KEY!r} hold {found}, expected some of {', '.join(known)}")
    return said


def text(shape: tuple[int, ...]) -> str:
    """(16, 8, 8) -> "(16, 8, 8)", and (10, 1, 1) -> "(10,)", as NIR writes it."""
    return str(shape[:1] if shape[1:] == (1, 1) else shape)
