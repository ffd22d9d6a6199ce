"""Networks on disk: safetensors whose metadata hold the graph as JSON, and a digest; loading
executes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from spikesam.backends.network.checks import NetworkError
from spikesam.backends.network.compact import pack_tensors, unpack_tensors
from spikesam.backends.network.graph import Network
from spikesam.common.disk import write_file
from spikesam.common.errors import InputError, at
from spikesam.common.files import open_file
from spikesam.common.parsing import parse_json
from spikesam.common.stamp import Stamp, StampError
from spikesam.common.text import LONGEST_NAME, printable

STAMP = Stamp("spikesam-network", 1, "a network")
# the entry of the metadata that says that weights are stored as int8 and numbers as float32
PACKED = "packed"
DIGEST = "sha256"  # the entry of the metadata that holds the digest of all the rest
LARGEST_FILE = 1 << 31  # bytes; VGG16 at 224×224 has 0.55 GB of weights
LARGEST_HEADER = (
    1 << 24
)  # bytes of metadata; constants that differ by channel and class names need 1 % of it
DTYPES = ("F32", "F64", "I8", "I32")  # of tensors, as safetensors calls them

Tensors = Mapping[str, NDArray[Any]]


def write_network(network: Network, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a network, atomically; `metadata` is stored beside the graph and is not part of its
    identity.
    """
    graph, tensors = network.to_graph()
    described = {name: str(value) for name, value in STAMP.attributes.items()}
    described |= {"graph": json.dumps(graph, sort_keys=True), **(metadata or {})}
    if (packed := pack_tensors(tensors)) is not None:
        described[PACKED], tensors = "int8", packed
    if (length := sum(tensor.nbytes for tensor in tensors.values())) > LARGEST_FILE:
        raise NetworkError(
            f"{path}: the network has {length:,} bytes, expected at most {LARGEST_FILE:,}"
        )
    described[DIGEST] = network_file_digest(described, tensors)
    contiguous = {
        name: np.ascontiguousarray(value) for name, value in tensors.items()
    }  # save() ignores strides
    try:
        write_file(path, save(contiguous, described))
    except OSError as error:
        raise NetworkError(
            f"{path}: cannot be written ({error.strerror}); expected the name of a file"
        ) from None


def read_network(path: Path) -> tuple[Network, dict[str, str]]:
    """Read a network with all its construction checks, and the metadata beside the graph."""
    _check_size(path)
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: _tensor(file, name, path) for name in file.keys()}  # noqa: SIM118
    try:
        STAMP.check(metadata.get)
    except StampError as error:
        raise NetworkError(f"{path}: {error}") from None
    digest = metadata.pop(DIGEST, None)
    if digest is None:
        raise NetworkError(
            f"{path}: has no digest of its content, expected one; write it again with this version"
        )
    if digest != network_file_digest(metadata, tensors):
        raise NetworkError(
            f"{path}: was changed or damaged after it was written: its digest is of other content"
        )
    try:
        with at("graph"):
            graph = parse_json(metadata.pop("graph", ""))
        if metadata.pop(PACKED, None) is not None:
            tensors = unpack_tensors(tensors)
        network = Network.from_graph(graph, tensors)
        _check_nothing_else(network, graph, tensors)
        for name in STAMP.attributes:
            del metadata[name]
        return network, metadata
    except InputError as error:
        raise NetworkError(f"{path}: {error}") from None


def network_file_digest(metadata: Mapping[str, str], tensors: Tensors) -> str:
    """SHA-256 of everything in a file but this digest.

    The digested bytes are one line of JSON, `[metadata, {name: [dtype, shape]}]` in ASCII with
    sorted keys and no spaces; then the numbers of every tensor, in the order of names, in C-order
    and little-endian.
    """
    described = {name: [array.dtype.name, list(array.shape)] for name, array in tensors.items()}
    text = json.dumps([dict(metadata), described], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        numbers = np.ascontiguousarray(tensors[name], tensors[name].dtype.newbyteorder("<"))
        digest.update(numbers.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _check_nothing_else(network: Network, graph: Any, tensors: Tensors) -> None:
    """Refuse a file whose content differs from what :func:`write_network` would write of the
    network read from it.
    """
    description, numbers = network.to_graph()
    stored, expected = (
        {name: (tensor.dtype, tensor.shape) for name, tensor in all_.items()}
        for all_ in (tensors, numbers)
    )
    if stored != expected:
        name = min(
            name
            for name in stored.keys() | expected.keys()
            if stored.get(name) != expected.get(name)
        )
        raise NetworkError(
            f"tensor {name[:LONGEST_NAME]!r}: got {stored.get(name)}, expected {expected.get(name)}"
        )
    if graph != description:
        raise NetworkError(
            "graph: contradicts its own tensors or constants, expected a graph that to_graph() made"
        )


def _check_size(path: Path) -> None:
    """Refuse, before anything is read, a file that takes more memory than any network needs."""
    try:
        if not os.path.isfile(path):
            finding = (
                "a directory"
                if os.path.isdir(path)
                else "not a file"
                if os.path.exists(path)
                else "no such file"
            )
            raise NetworkError(f"{path}: {finding}, expected a network in safetensors")
        with open_file(path) as file:
            size, header = path.stat().st_size, int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read ({error.strerror})") from None
    for part, length, limit in (
        ("", size, LARGEST_FILE),
        (" of metadata", min(header, size), LARGEST_HEADER),
    ):
        if length > limit:
            raise NetworkError(
                f"{path}: got {length:,} bytes{part}, expected a network of at most {limit:,}"
            )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise NetworkError(
            f"{path}: not a readable safetensors file ({printable(error, 200)})"
        ) from None


def _tensor(file: Any, name: str, path: Path) -> NDArray[Any]:
    dtype = file.get_slice(name).get_dtype()
    if dtype not in DTYPES:
        shown = printable(name, LONGEST_NAME)
        raise NetworkError(
            f"{path}: tensor {shown!r} has dtype {dtype}, expected one of {', '.join(DTYPES)}"
        )
    return file.get_tensor(name)
