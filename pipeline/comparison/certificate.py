"""Certificates: what a NIR graph fires here, in digests, so that whoever runs it again can compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.common.errors import InputError
from spikesam.common.files import file_digest
from spikesam.pipeline.comparison.certificate_file import (
    FORMAT,
    VERSION,
    Certificate,
    Settings,
    read_certificate,
)
from spikesam.pipeline.comparison.diff import Diff, diff
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.imports.nir.data import from_nir_data, node_layer
from spikesam.pipeline.imports.nir.read import read_nir
from spikesam.recordings.digests import raster_digest
from spikesam.recordings.files import has_hdf5_name
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import versions

PRECISIONS = ("float32", "fixed")
UNIT = 1 << 24  # of the rate of random spikes
MOST_BITS = 1 << 27  # of random input: eight bytes each while they are drawn


def certify(
    model: Path, settings: Settings, recording: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The certificate of a NIR graph, JSON of strings and numbers, and lines that say what differs.

    The graph runs on random spikes, or on the input of a recording, whose other layers are compared
    with it in float32.
    """
    with TemporaryDirectory() as folder, ExitStack() as resources:
        given = None if recording is None else _opened(recording, settings, Path(folder), resources)
        steps = settings.timesteps
        if steps is None and given is not None and not given.header.layer_delay:
            steps = given.timesteps
        options: Any = {
            name: getattr(settings, name) for name in ("dt", "reset", "fires_at_threshold")
        }
        network, nodes = read_nir(model, steps, **options)
        network.check_spiking(str(model))
        if not network.spiking_input:
            raise InputError(
                f"{model}: is driven by a current, expected a graph whose input is spikes"
            )
        recorded = (
            None if given is None else _as_layers(given, network, nodes, Path(folder), resources)
        )
        spikes = random_spikes(network, settings) if recorded is None else recorded["input"][:]
        runs, differences, first = [], list[str](), dict[str, RasterReader]()
        for precision in PRECISIONS:
            for backend in settings.backends:
                fired = simulate(network, spikes, backend=backend, precision=precision)
                runs.append({"backend": backend, "precision": precision, **_digests(fired)})
                known = first.setdefault(precision, fired)
                if fired.raster_digest != known.raster_digest:
                    found = diff(known, fired, network, precision=precision)
                    lines = said(found, settings.backends[0], backend)
                    differences += [f"{precision}, {backend}: {line}" for line in lines]
        certificate = {
            "format": FORMAT,
            "version": VERSION,
            "model": {"sha256": file_digest(model), "network_sha256": network.sha256},
            "settings": settings.model_dump(mode="json"),
            "input": {
                "sha256": hashlib.sha256(np.packbits(spikes).tobytes()).hexdigest(),
                "shape": list(spikes.shape),
            },
            "runs": runs,
            "versions": json.loads(versions()),
        }
        if recorded is not None and recording is not None:
            found = diff(recorded, first["float32"], network)
            lines = said(found, "the recording", "what runs here")
            differences += [f"{recording}: {line}" for line in lines]
            certificate["recording"] = {
                "sha256": file_digest(recording),
                "bits": found.bits,
                "said": lines,
            }
        return certificate, differences


def said(found: Diff, a: str, b: str) -> list[str]:
    """Lines that say how many bits differ, the first, and the cause; none if no bit differs."""
    if not found:
        return []
    lines = [f"{found.bits:,} bits differ; A is {a}, B is {b}"]
    if bit := found.first:
        lines.append(found.bit_words(bit, "the first"))
    return lines + list(found.why.cause if found.why else found.notes)


def certify_again(
    model: Path, path: Path, recording: Path | None
) -> tuple[dict[str, Any], list[str]]:
    """The certificate that a model gets with the settings of another certificate, and lines that
    say what differs.
    """
    given = read_certificate(path)
    if (given.recording is None) != (recording is None):
        raise InputError(
            f"{path}: was made {'with' if given.recording else 'without'} a recording, expected so "
            "now"
        )
    found, _ = certify(model, given.settings, recording)
    return found, [*_differences(given, found, path)]


def _differences(given: Certificate, found: dict[str, Any], path: Path) -> Iterator[str]:
    for old, new, what in (
        (given.model, found["model"], "the file is"),
        (given.input, found["input"], "the input is"),
        (
            given.recording,
            found.get("recording"),
            "the recording, or how it differs from the graph, is",
        ),
    ):
        if old != new:
            yield f"{what} another one than {path} says"
    for run, new in zip(given.runs, found["runs"], strict=False):
        if run.model_dump() != new:
            layers = [
                name for name, digest in new["layers"].items() if run.layers.get(name) != digest
            ]
            yield f"{new['backend']}, {new['precision']}: other spikes in {', '.join(layers) or 'the raster'}"
    if len(given.runs) != len(found["runs"]):
        yield f"{len(found['runs'])} runs, {path} has {len(given.runs)}"


def random_spikes(network: Network, settings: Settings) -> NDArray[np.bool_]:
    """(T, N, C, H, W) spikes of a rate, that depend on nothing but the seed."""
    shape = (network.window or network.timesteps, settings.samples, *network.input_shape)
    if (count := prod(shape)) > MOST_BITS:
        raise InputError(
            f"input: {count:,} bits, expected at most {MOST_BITS:,}; give fewer samples or steps"
        )
    raw = np.random.Philox(key=settings.seed).random_raw(count)
    return (raw >> np.uint64(40) < int(settings.rate * UNIT)).reshape(shape)


def _opened(path: Path, settings: Settings, folder: Path, resources: ExitStack) -> RasterReader:
    """A recording as a raster, of data of NIR if it is none."""
    raster = (
        path if has_hdf5_name(path) else from_nir_data(path, folder / "data.h5", dt=settings.dt)
    )
    return resources.enter_context(RasterReader(raster))


def _as_layers(
    given: RasterReader, network: Network, nodes: dict[str, str], folder: Path, resources: ExitStack
) -> RasterReader:
    """A recording whose layers have the names and shapes of a network's; each may be called by its
    node.
    """
    shapes, found = dict(zip(("input", *nodes), network.shapes, strict=True)), dict[str, Any]()
    for name, shape in shapes.items():
        called = next(
            (each for each in (name, node_layer(nodes.get(name, name))) if each in given), None
        )
        if called is None:
            continue
        spikes = given[called][:].swapaxes(0, 1)
        if prod(spikes.shape[2:]) != prod(shape):
            size = f"has {prod(spikes.shape[2:])} neurons, expected {prod(shape)}"
            raise InputError(f"{given.where}: layer {called!r}: {size}, as the graph")
        found[name] = spikes.reshape(*spikes.shape[:2], *shape)
    if "input" not in found or len(found) == 1:
        raise InputError(
            f"{given.where}: holds {', '.join(given)}, expected 'input', the spikes that the graph "
            "got, and "
            f"one or more of {', '.join(nodes.values())}"
        )
    path = write_raster(folder / "layers.h5", found, layer_delay=given.header.layer_delay)
    return resources.enter_context(RasterReader(path))


def _digests(raster: RasterReader) -> dict[str, Any]:
    """The digest of a raster and of each layer."""
    layers = {name: raster_digest([raster.digests(raster.layer(name))]) for name in raster}
    return {"raster_digest": raster.raster_digest, "layers": layers}
