"""Networks on disk: safetensors whose metadata hold the graph as JSON; loading executes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .graph import Network, NetworkError

FORMAT = "spiking-network"


def write_network(network: Network, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a network, atomically; `metadata` is stored beside the graph and is not part of its identity."""
    graph, tensors = network.to_graph()
    write_tensors(tensors, path, {"format": FORMAT, "graph": json.dumps(graph, sort_keys=True), **(metadata or {})})


def read_network(path: Path) -> tuple[Network, dict[str, str]]:
    """Read a network with all its construction checks, and the metadata beside the graph.

    Raises
    ------
    NetworkError : if the file is not there, not safetensors, or not a consistent network
    """
    tensors, metadata = read_tensors(path)
    if metadata.pop("format", None) != FORMAT or "graph" not in metadata:
        raise NetworkError(f"{path}: safetensors, but not a spiking network (no {FORMAT!r} metadata)")
    try:
        return Network.from_graph(json.loads(metadata.pop("graph")), tensors), metadata
    except ValueError as error:
        raise NetworkError(f"{path}: {error}") from None


def write_tensors(tensors: dict[str, NDArray[Any]], path: Path, metadata: dict[str, str]) -> None:
    """Write named arrays with their metadata as safetensors, atomically."""
    temporary = path.with_name(path.name + ".tmp")
    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}  # save() ignores strides
    temporary.write_bytes(save(contiguous, metadata))
    os.replace(temporary, path)


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read named arrays and their metadata from safetensors.

    Raises
    ------
    NetworkError : if the file is not there or not safetensors
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_format(path: Path) -> str | None:
    """What a safetensors file says it is, from its header alone; raises as :func:`read_tensors` does."""
    with _opened(path) as file:
        return (file.metadata() or {}).get("format")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "numpy") as file:
            yield file
    except FileNotFoundError:
        raise NetworkError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise NetworkError(f"{path}: not a readable safetensors file ({error})") from None
