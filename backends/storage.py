"""Networks on disk: safetensors whose metadata hold the graph as JSON; loading executes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .network import Network, NetworkError

FORMAT = "spiking-network"


def write_network(network: Network, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a network, atomically; `metadata` is stored beside the graph and is not part of its identity."""
    graph, tensors = network.to_graph()
    header = {"format": FORMAT, "graph": json.dumps(graph, sort_keys=True), **(metadata or {})}
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(save(tensors, header))
    os.replace(temporary, path)


def read_network(path: Path) -> tuple[Network, dict[str, str]]:
    """Read a network with all its construction checks, and the metadata beside the graph.

    Raises
    ------
    NetworkError : if the file is not there, not safetensors, or not a consistent network
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise NetworkError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise NetworkError(f"{path}: not a readable safetensors file ({error})") from None
    if metadata.pop("format", None) != FORMAT or "graph" not in metadata:
        raise NetworkError(f"{path}: safetensors, but not a spiking network (no {FORMAT!r} metadata)")
    try:
        return Network.from_graph(json.loads(metadata.pop("graph")), tensors), metadata
    except ValueError as error:
        raise NetworkError(f"{path}: {error}") from None
