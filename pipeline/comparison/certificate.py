"""Certificates: digests of what a NIR graph fires here, to compare with another run's."""

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
from spikesam.common.errors import InputError, at
from spikesam.common.files import file_digest
from spikesam.pipeline.comparison.certificate_file import (
    STAMP,
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
        raster = (
            None if recording is None else _opened(recording, settings, Path(folder), resources)
        )
        steps = settings.timesteps
        if steps is None and raster is not None and not raster.header.layer_delay:
            steps = raster.timesteps
        options: Any = {
            name: getattr(settings, name) for name in ("dt", "reset", "fires_at_threshold")
        }
        network, nodes = read_nir(model, steps, **options)
        with at(model):
            network.check_spiking()
        if not network.spiking_input:
            raise InputError(
                f"{model}: is driven by a current, expected a graph whose input is spikes"
            )
        recorded = (
            None if raster is None else _as_layers(raster, network, nodes, Path(folder), resources)
        )
        spikes = random_spikes(network, settings) if recorded is None else recorded["input"][:]
        runs, differences, first = [], list[str](), dict[str, RasterReader]()
        for precision in PRECISIONS:
            for backend in settings.backends:
                fired = simulate(network, spikes, backend=backend, precision=precision)
                runs.append({"backend": backend, "precision": precision, **_digests(fired)})
                reference = first.setdefault(precision, fired)
                if fired.raster_digest != reference.raster_digest:
                    difference = diff(reference, fired, network, precision=precision)
                    lines = difference_lines(difference, settings.backends[0], backend)
                    differences += [f"{precision}, {backend}: {line}" for line in lines]
        certificate = {
            **STAMP.attributes,
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
            difference = diff(recorded, first["float32"], network)
            lines = difference_lines(difference, "the recording", "what runs here")
            differences += [f"{recording}: {line}" for line in lines]
            certificate["recording"] = {
                "sha256": file_digest(recording),
                "bits": difference.bits,
                "said": lines,
            }
        return certificate, differences


def difference_lines(difference: Diff, a: str, b: str) -> list[str]:
    """Lines that say how many bits differ, the first, and the cause; none if no bit differs."""
    if not difference:
        return []
    lines = [f"{difference.bits:,} bits differ; A is {a}, B is {b}"]
    if bit := difference.first:
        lines.append(difference.bit_words(bit, "the first"))
    return lines + list(difference.why.cause if difference.why else difference.notes)


def certify_again(
    model: Path, path: Path, recording: Path | None
) -> tuple[dict[str, Any], list[str]]:
    """The certificate that a model gets with the settings of another certificate, and lines that
    say what differs.
    """
    old = read_certificate(path)
    if (old.recording is None) != (recording is None):
        raise InputError(
            f"{path}: was made {'with' if old.recording else 'without'} a recording, expected so "
            "now"
        )
    certificate, _ = certify(model, old.settings, recording)
    return certificate, [*_differences(old, certificate, path)]


def _differences(
    old_certificate: Certificate, new_certificate: dict[str, Any], path: Path
) -> Iterator[str]:
    for old_digests, new_digests, subject in (
        (old_certificate.model, new_certificate["model"], "the file is"),
        (old_certificate.input, new_certificate["input"], "the input is"),
        (
            old_certificate.recording,
            new_certificate.get("recording"),
            "the recording, or how it differs from the graph, is",
        ),
    ):
        if old_digests != new_digests:
            yield f"{subject} another one than {path} says"
    for old_run, new_run in zip(old_certificate.runs, new_certificate["runs"], strict=False):
        if old_run.model_dump() != new_run:
            layers = [
                name
                for name, digest in new_run["layers"].items()
                if old_run.layers.get(name) != digest
            ]
            yield (
                f"{new_run['backend']}, {new_run['precision']}: other spikes in "
                f"{', '.join(layers) or 'the raster'}"
            )
    if len(old_certificate.runs) != len(new_certificate["runs"]):
        yield f"{len(new_certificate['runs'])} runs, {path} has {len(old_certificate.runs)}"


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
    raster: RasterReader,
    network: Network,
    nodes: dict[str, str],
    folder: Path,
    resources: ExitStack,
) -> RasterReader:
    """A recording whose layers have the names and shapes of a network's; each may be called by its
    node.
    """
    shapes = dict(zip(("input", *nodes), network.shapes, strict=True))
    spikes_by_layer = dict[str, Any]()
    for name, shape in shapes.items():
        called = next(
            (
                candidate
                for candidate in (name, node_layer(nodes.get(name, name)))
                if candidate in raster
            ),
            None,
        )
        if called is None:
            continue
        spikes = raster[called][:].swapaxes(0, 1)
        if prod(spikes.shape[2:]) != prod(shape):
            size = f"has {prod(spikes.shape[2:])} neurons, expected {prod(shape)}"
            raise InputError(f"{raster.file_name}: layer {called!r}: {size}, as the graph")
        spikes_by_layer[name] = spikes.reshape(*spikes.shape[:2], *shape)
    if "input" not in spikes_by_layer or len(spikes_by_layer) == 1:
        raise InputError(
            f"{raster.file_name}: holds {', '.join(raster)}, expected 'input', the spikes that the "
            "graph "
            "got, and "
            f"one or more of {', '.join(nodes.values())}"
        )
    path = write_raster(
        folder / "layers.h5", spikes_by_layer, layer_delay=raster.header.layer_delay
    )
    return resources.enter_context(RasterReader(path))


def _digests(raster: RasterReader) -> dict[str, Any]:
    """The digest of a raster and of each layer."""
    layers = {name: raster_digest([raster.digests(raster.layer(name))]) for name in raster}
    return {"raster_digest": raster.raster_digest, "layers": layers}
