"""Small graphs of NIR through other libraries: which bits differ from NIR's equations, and why.

Each library reads a graph as its documentation says, in a process of its own. Where it asks for
another `nir` than is installed, it gets that one, in a folder of its own. The first bit that
differs is explained by `spikesam.diff`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import spikesam
from benchmarks.common import nir_graphs
from benchmarks.common.measurement import Case, MeasuredRow, Options
from benchmarks.common.nir_graphs import SAMPLES, STEPS, Example
from benchmarks.common.nir_readers import READERS
from spikesam import InputError, Network

ROOT = Path(__file__).resolve().parents[1]
OWN_PACKAGES = {
    "sinabs": ("nir==1.0.4", "nirtorch==2.0.2")
}  # what a resolver finds for sinabs 3.1.3
SECONDS = 500  # that a library may take for all graphs
HERE = "spikesam, torch"
TINY = 3  # graphs
RULE = "A has another rule: with "  # of a cause that fits


class Reference(NamedTuple):
    """What NIR's equations make of a graph: our network of it, and what it fires in float32 on the
    event backend.
    """

    network: Network
    raster: Any
    spikes: NDArray[np.bool_]
    later: dict[str, int]  # layer -> steps by which it fires later than in the graph

    def with_theirs(self, layers: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Spikes (N, T, …) of another program in our time: outside their steps they are ours."""
        found = {
            name: self.raster[name][:].swapaxes(0, 1).astype(each.dtype)
            for name, each in layers.items()
        }
        for name, each in layers.items():
            steps = found[name][:, self.later[name] : self.later[name] + STEPS]
            steps[:] = each[:, : steps.shape[1]]
        return found


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """One for each library, and one for another backend of ours."""
    for library in READERS:
        yield Case(library, partial(of_library, library, options, scratch))
    yield Case(HERE, partial(of_backend, options))


def chosen(options: Options) -> list[tuple[int, Example]]:
    """The graphs with their numbers."""
    return [*enumerate(nir_graphs.examples())][: TINY if options.tiny else None]


def reference(example: Example) -> Reference:
    """The network of a graph and its spikes."""
    network = spikesam.from_nir(example.build(), STEPS, dt=example.dt)
    spikes = np.zeros((network.timesteps, SAMPLES, *network.input_shape), np.bool_)
    spikes[:STEPS] = example.spikes().swapaxes(0, 1).reshape(STEPS, *spikes.shape[1:])
    raster = spikesam.simulate(network, spikes, backend="event", precision="float32")
    return Reference(network, raster, spikes, network.starts)


def of_backend(options: Options) -> Iterator[MeasuredRow]:
    """Bits in which the torch backend differs from the event backend."""
    for _, example in chosen(options):
        known = reference(example)
        other = spikesam.simulate(known.network, known.spikes, backend="torch", precision="float32")
        yield compared(example, HERE, known, spikesam.diff(other, known.raster, known.network))


def of_library(library: str, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """Bits in which a library's spikes differ, or why it has none."""
    path = scratch / f"{library}.npz"
    command = [sys.executable, "-m", "benchmarks.common.nir_readers", library, str(path)]
    limit = [str(TINY)] if options.tiny else []
    about = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*own_packages(library, scratch), str(ROOT)]),
    }
    try:
        done = subprocess.run(
            [*command, *limit],
            cwd=scratch,
            env=about,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        failure = (
            ""
            if path.exists()
            else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        )
    except subprocess.TimeoutExpired:
        failure = f"takes more than {SECONDS} s"
    fired: Mapping[str, Any] = {} if failure else np.load(path)
    said = {"refused": {}, "versions": {}} if failure else json.loads(str(fired["about"]))
    way = " ".join([library, *list(said["versions"].values())[:1]])
    for number, example in chosen(options):
        if why := failure or said["refused"].get(str(number)):
            yield MeasuredRow(example.name, way, "not read", (1.0,), note=why)
            continue
        known = reference(example)
        layers, counts = dict[str, NDArray[Any]](), 1
        nodes = nir_graphs.spiking_nodes(example.build())
        for node, layer, shape in zip(
            nodes, known.network.layers, known.network.shapes[1:], strict=True
        ):
            spikes = np.stack([fired[f"{number}/{sample}/{node}"] for sample in range(SAMPLES)])
            layers[layer.name], counts = (
                spikes.reshape(SAMPLES, STEPS, *shape),
                max(counts, int(spikes.max())),
            )
        layers = {"input": known.spikes.swapaxes(0, 1)} | known.with_theirs(layers)
        path = scratch / "theirs.h5"
        theirs = spikesam.write_raster(path, layers, counts="fired", layer_delay=1, overwrite=True)
        found = spikesam.diff(theirs, known.raster, known.network)
        yield compared(example, way, known, found, counts)


def compared(
    example: Example, way: str, known: Reference, found: Any, most: int = 1
) -> MeasuredRow:
    """The row of a graph: how many bits differ, the first, and the likely cause."""
    note = ""
    if bit := found.first:
        step = bit.step - known.later[bit.layer]
        note = (
            f"{bit.layer}, step {step}, sample {bit.sample}, neuron {bit.neuron}: "
            f"{cause(found, most)}"
        )
    return MeasuredRow(example.name, way, "bits", (float(found.bits),), at_most=0, note=note)


def cause(found: Any, most: int) -> str:
    """The cause that `diff` says, of the library alone."""
    layer = found.layers.set_index("layer").loc[found.first.layer]
    if not layer["spikes_first"]:
        return "never fires"
    said = (
        next((each for each in found.why.cause if each.startswith("so ")), "") if found.why else ""
    )
    said = re.sub(r", \w+ fires all that A has", "", said.removeprefix("so "))
    rule, said = (
        said.startswith(RULE),
        said.removeprefix(RULE).replace("A has", "it has") or "; ".join(found.notes),
    )
    if factor := re.fullmatch(
        r"a threshold of ([\d.]+)%(?: to ([\d.]+)%| or more)? of the network's", said
    ):
        ends = dict.fromkeys(f"{float(each) / 100:.3g}" for each in factor.groups() if each)
        more = " or more" if "or more" in said else ""
        said = f"as if its threshold were {' to '.join(ends)}{more} times the graph's"
    several = [f"up to {most} spikes a step"] if most > 1 else []
    return "; ".join([said] * (rule or not several) + several)


def own_packages(library: str, scratch: Path) -> list[str]:
    """A folder with the packages that a library asks for in versions of its own; nothing if there
    are none.
    """
    wanted = OWN_PACKAGES.get(library)
    if wanted is None:
        return []
    folder = scratch / f"packages-{library}"
    if not folder.exists():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(folder),
            *wanted,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise InputError(
                f"{library}: asks for {' and '.join(wanted)}, which pip cannot install: {reason}"
            )
    return [str(folder)]
