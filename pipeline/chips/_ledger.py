"""Our own sum of what a recording takes on a chip: by layer, step and core, from its spikes alone.

    synapses   E_syn = Σ over spikes and the synapses they reach:     e of that kind of synapse
    neurons    E_som = Σ over steps and neurons that are simulated:   e_access + e_update
                       + Σ over their spikes:                         e_fire
    network    E_net = Σ over spikes and the cores they reach:        e_send + e_receive
                       + Σ over tiles on the way:                     e_hop

A spike is one message to each core that holds a target of it. Synapses count for the layer that
they drive, neurons and messages for the layer that fires. SANA-FE adds up the same operations as it
simulates; both sums must agree at every step, or the circuit was not the one described here.

A core has a part for its neurons and a part for the messages that reach it. Both work at once, each
on one thing after another, and the core is busy in a step for as long as the slower one:

    neurons  = Σ over its neurons t_access + t_update + Σ over spikes t_fire + messages t_send
    messages = Σ over messages that reach it t_receive + Σ over synapses there t of that kind
    busy     = max(neurons, messages)

The time of a step is never shorter. It also has waiting and the ways through the mesh in it, which
SANA-FE alone knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.chips._circuit import Circuit
from spikesam.pipeline.chips.description import ChipDescription
from spikesam.pipeline.chips.mapping import Placed

Floats = NDArray[np.float64]
PARTS = ("synapse", "soma", "network")


@dataclass(frozen=True, eq=False)
class ChipCost:
    """The cost of a sample: joules (T,) of each part of each group; busy seconds, and messages sent
    and received, (T, cores).
    """

    joules: dict[str, dict[str, Floats]]
    busy: Floats
    sent: Floats
    received: Floats

    def total(self, part: str) -> Floats:
        """J (T,) of one part of all groups."""
        return np.sum([of_group[part] for of_group in self.joules.values()], axis=0)


class ChipLedger:
    """Adds up samples of a circuit on the cores of a chip."""

    def __init__(self, circuit: Circuit, chip: ChipDescription, cores: Placed) -> None:
        self.circuit, self.chip, self.cores = circuit, chip, cores
        # Of each group, synapses from each neuron to each core: those of each kind.
        self._reached = {
            name: {kind: np.zeros((group.size, chip.cores), np.int32) for kind in chip.synapse}
            for name, group in circuit.groups.items()
        }
        self._driven = dict[tuple[str, str, str], Floats]()  # synapses from each neuron
        for part in circuit.synapses:
            counts = self._reached[part.source][part.kind]
            np.add.at(counts, (part.origins, cores[part.target][part.targets]), 1)
            key = part.source, part.target, part.kind
            fan_out = np.bincount(part.origins, minlength=len(counts)).astype(np.float64)
            self._driven[key] = self._driven.get(key, 0.0) + fan_out
        self._hop_joules = np.array(
            [[self._way(start, end) for end in range(chip.cores)] for start in range(chip.cores)]
        )

    def _way(self, start: int, end: int) -> float:
        """J of the hops of a message between two cores: first along x, then along y."""
        (x, y), (to_x, to_y), hops = self.chip.place(start), self.chip.place(end), self.chip.hops
        along_x = hops["east" if to_x > x else "west"].joules * abs(to_x - x)
        return along_x + hops["north" if to_y > y else "south"].joules * abs(to_y - y)

    def sample(self, spikes: Mapping[str, NDArray[np.bool_]]) -> ChipCost:
        """Add up a sample, of the spikes (T, size) of each group."""
        chip, steps = self.chip, len(next(iter(spikes.values())))
        joules = {name: {part: np.zeros(steps) for part in PARTS} for name in self.circuit.groups}
        neurons, arriving, sent, received = (np.zeros((steps, chip.cores)) for _ in range(4))
        for (source, target, kind), fan_out in self._driven.items():
            joules[target]["synapse"] += chip.synapse[kind].joules * (spikes[source] @ fan_out)
        for name, group in self.circuit.groups.items():
            fired, cores = spikes[name].astype(np.float32), self.cores[name]
            on_core = np.zeros((group.size, chip.cores), np.float32)
            on_core[np.arange(group.size), cores] = 1
            if not group.played:
                each_step = chip.access.joules + chip.update.joules
                joules[name]["soma"] += group.size * each_step
                joules[name]["soma"] += chip.fire.joules * fired.sum(axis=1, dtype=np.float64)
                neurons += on_core.sum(axis=0) * (chip.access.seconds + chip.update.seconds)
                neurons += chip.fire.seconds * (fired @ on_core)
            reached = self._reached[name]
            messages = (np.sum([*reached.values()], axis=0) > 0).astype(np.float32)
            per_neuron = messages.sum(axis=1, dtype=np.float64)
            ways = (messages * self._hop_joules[cores]).sum(axis=1, dtype=np.float64)
            each_message = chip.send.joules + chip.receive.joules
            joules[name]["network"] += spikes[name] @ (per_neuron * each_message + ways)
            from_cores = fired @ (on_core * per_neuron[:, None].astype(np.float32))
            to_cores = fired @ messages
            sent += from_cores
            received += to_cores
            neurons += chip.send.seconds * from_cores
            arriving += chip.receive.seconds * to_cores
            for kind, counts in reached.items():
                arriving += chip.synapse[kind].seconds * (fired @ counts.astype(np.float32))
        return ChipCost(joules, np.maximum(neurons, arriving), sent, received)
