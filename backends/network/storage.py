"""Networks on disk: safetensors whose metadata hold the graph as JSON; loading executes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from recordings.disk import write_file

from .checks import NetworkError
from .graph import Network

FORMAT = "spikesam-network"


def write_network(network: Network, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a network, atomically; `metadata` is stored beside the graph and is not part of its identity."""
    graph, tensors = network.to_graph()
    described = {"format": FORMAT, "graph": json.dumps(graph, sort_keys=True), **(metadata or {})}
    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}  # save() ignores strides
    try:
        write_file(path, save(contiguous, described))
    except OSError as error:
        raise NetworkError(f"{path}: cannot be written ({error.strerror}); expected the name of a file") from None


def read_network(path: Path) -> tuple[Network, dict[str, str]]:
    """Read a network with all its construction checks, and the metadata beside the graph.

    Raises
    ------
    NetworkError : if the file is not there, not safetensors, or not a consistent network
    """
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    found = metadata.pop("format", None)
    if found != FORMAT or "graph" not in metadata:
        raise NetworkError(f"{path}: safetensors, but not a network: got format {found!r}, expected {FORMAT!r}")
    try:
        return Network.from_graph(json.loads(metadata.pop("graph")), tensors), metadata
    except ValueError as error:
        raise NetworkError(f"{path}: {error}") from None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "numpy") as file:
            yield file
    except FileNotFoundError:
        raise NetworkError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise NetworkError(f"{path}: not a readable safetensors file ({error})") from None
