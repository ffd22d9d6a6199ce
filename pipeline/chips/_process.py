"""The process in which SANA-FE simulates: no other one imports it.

It is a program of its own, under another licence (GPL-3). It takes a circuit and the spikes that
are played in, and gives spikes, time and energy, as arrays in a file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.child import python
from spikesam.common.errors import InputError
from spikesam.common.text import printable
from spikesam.pipeline.chips._circuit import Circuit
from spikesam.pipeline.chips.mapping import Placed

CODE = """
from spikesam.common.child import die_with_parent
die_with_parent()
from spikesam.pipeline.chips._process import simulate_in_child
simulate_in_child(*sys.argv[1:])
"""
CHUNK = 1 << 16  # synapses that are handed over at once
ENERGIES = ("synapse", "soma", "network", "total")
ORDER, ANSWER = "order.npz", "answer.npz"

Spikes = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Simulated:
    """The answer of SANA-FE: of each group the spikes (N, T, size), of each step the seconds (N,
    T), and the joules (N, T) by part.
    """

    spikes: dict[str, Spikes]
    seconds: NDArray[np.float64]
    joules: dict[str, NDArray[np.float64]]


def simulate_on_chip(circuit: Circuit, cores: Placed, played: dict[str, Spikes]) -> Simulated:
    """Simulate samples, each from rest.

    Parameters
    ----------
    circuit, cores : what is simulated, and the core of each neuron
    played : (N, T, size) of each group that is played in

    Raises
    ------
    InputError : if the process ends without an answer
    """
    with _folder() as folder:
        _write_order(folder / ORDER, circuit, cores, played)
        done = subprocess.run(
            python(CODE, str(folder)),
            cwd=os.sep,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode or not (folder / ANSWER).is_file():
            raise InputError(f"chip: SANA-FE {_ending(done.returncode, done.stderr)}")
        with np.load(folder / ANSWER) as answer:
            samples, steps = answer["seconds"].shape
            return Simulated(
                {
                    name: np.unpackbits(answer[f"spikes.{name}"], axis=2, count=group.size).astype(
                        np.bool_
                    )
                    for name, group in circuit.groups.items()
                },
                answer["seconds"],
                {part: answer[f"joules.{part}"].reshape(samples, steps) for part in ENERGIES},
            )


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spikesam-chip-") as folder:
        yield Path(folder)


def _ending(code: int, output: bytes) -> str:
    """A sentence on how the process ended, with the last line that it wrote."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    last = next((f": {printable(line)}" for line in reversed(lines) if line), "")
    if code < 0:
        name = signal.Signals(-code).name
        memory = " (is the machine out of memory?)" if name == "SIGKILL" else ""
        return f"was ended by {name}{memory}{last}"
    return f"ended with exit code {code}{last}"


def _write_order(path: Path, circuit: Circuit, cores: Placed, played: dict[str, Spikes]) -> None:
    arrays: dict[str, Any] = {
        "groups": [*circuit.groups],
        "resets": [group.reset for group in circuit.groups.values()],
        "ends": [[part.source, part.target, part.kind] for part in circuit.synapses],
    }
    for name, group in circuit.groups.items():
        arrays[f"cores.{name}"] = cores[name]
        if group.played:
            arrays[f"played.{name}"] = played[name]
        else:
            arrays[f"threshold.{name}"], arrays[f"leak.{name}"] = group.threshold, group.leak
    for number, part in enumerate(circuit.synapses):
        arrays[f"origins.{number}"], arrays[f"targets.{number}"] = part.origins, part.targets
        arrays[f"weights.{number}"] = part.weights.astype(np.float32)
    np.savez(path, **arrays)


def simulate_in_child(folder: str) -> None:
    """The work of the process: read the order, simulate, write the answer."""
    with np.load(Path(folder, ORDER)) as file:
        order = dict(file)
    import sanafe

    description = sanafe.load_loihi()
    chip = sanafe.SpikingChip(description)
    network = _built(sanafe, order, description.cores())
    chip.load(network)
    names = [str(name) for name in order["groups"]]
    samples, steps = next(
        values.shape[:2] for name, values in order.items() if name.startswith("played.")
    )
    spikes = {
        name: np.zeros((samples, steps, len(order[f"cores.{name}"])), np.bool_) for name in names
    }
    seconds, joules = [], {part: list[Any]() for part in ENERGIES}
    for sample in range(samples):
        # One thread: the order of messages, and with it the sums, is always the same.
        results = chip.sim(steps, processing_threads=1, spike_trace=True, perf_trace=True)
        for step, fired in enumerate(results["spike_trace"]):
            for neuron in fired:
                spikes[neuron.group_name][sample, step, neuron.neuron_offset] = True
        seconds.append(results["perf_trace"]["sim_time"])
        for part, of_samples in joules.items():
            of_samples.append(results["perf_trace"][f"{part}_energy"])
        chip.reset()
    packed: dict[str, Any] = {
        f"spikes.{name}": np.packbits(bits, axis=2) for name, bits in spikes.items()
    }
    priced: dict[str, Any] = {
        f"joules.{part}": np.array(of_samples) for part, of_samples in joules.items()
    }
    np.savez(Path(folder, ANSWER), seconds=np.array(seconds), **packed, **priced)


def _built(sanafe: Any, order: dict[str, NDArray[Any]], all_cores: list[Any]) -> Any:
    """The network of SANA-FE that an order describes."""
    network, groups = sanafe.Network(), {}
    inputs_on = np.zeros(len(all_cores), np.int64)  # each has a unit of its core for itself
    for name, reset in zip(order["groups"].tolist(), order["resets"].tolist(), strict=True):
        cores = order[f"cores.{name}"]
        played = order.get(f"played.{name}")
        of_all = {"reset_mode": reset, "reset": 0.0, "force_update": True}
        group = network.create_neuron_group(name, len(cores), {} if played is not None else of_all)
        groups[name] = group
        for number, core in enumerate(cores.tolist()):
            neuron = group[number]
            if played is not None:
                soma = f"loihi_inputs[{inputs_on[core]}]"
                inputs_on[core] += 1
                attributes: dict[str, Any] = {
                    "spikes": played[:, :, number].ravel().astype(int).tolist()
                }
            else:
                soma = "loihi_lif"
                attributes = {
                    "threshold": float(order[f"threshold.{name}"][number]),
                    "leak_decay": float(order[f"leak.{name}"][number]),
                }
            neuron.set_attributes(
                soma_hw_name=soma,
                dendrite_hw_name="loihi_dendrites",
                log_spikes=True,
                model_attributes=attributes,
            )
            neuron.map_to_core(all_cores[core])
    for number, (source, target, kind) in enumerate(order["ends"].tolist()):
        for neuron in groups[target]:  # a synapse takes the unit that its target names meanwhile
            neuron.set_attributes(default_synapse_hw_name=f"loihi_{kind}_synapse")
        origins, targets, weights = (
            order[f"{part}.{number}"].tolist() for part in ("origins", "targets", "weights")
        )
        for start in range(0, len(weights), CHUNK):
            part = slice(start, start + CHUNK)
            groups[source].connect_neurons_sparse(
                groups[target],
                {"w": weights[part]},
                list(zip(origins[part], targets[part], strict=True)),
            )
    return network
