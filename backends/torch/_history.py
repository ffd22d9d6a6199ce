"""The spikes that layers still have to read: the last steps of each, and what arrives from them at
an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from spikesam.backends.network import Input, Network
from spikesam.backends.torch.synapses import Workspace


class History:
    """Spikes of the input and of all layers of a network, by their place in it, while chunks of
    steps go through.

    Of each, the last `kept` steps before a chunk are there, as many as the longest delay with which
    it is read; while it has a reader to come, also those of the chunk. `longest` is how many steps
    a chunk may have: the shortest delay with which a layer reads one that comes later. `pieces` are
    how many steps of a chunk a layer may take at a time: the shortest delay with which it reads
    itself.
    """

    def __init__(self, network: Network, workspace: Workspace) -> None:
        self.network, self.workspace = network, workspace
        places = range(len(network.shapes))
        self.kept, self.pieces, self.longest = (
            [1 for _ in places],
            [network.timesteps for _ in places],
            network.timesteps,
        )
        last_reader = list(places)
        for place, layer in enumerate(network.layers, 1):
            for source in layer.sources:
                read = network.place(source.layer)
                self.kept[read] = max(self.kept[read], source.longest)
                last_reader[read] = max(last_reader[read], place)
                if read == place:
                    self.pieces[place] = min(self.pieces[place], source.shortest)
                elif read > place:
                    self.longest = min(self.longest, source.shortest)
        self.finished = [
            [read for read in places if last_reader[read] == place] for place in places
        ]
        self.spikes: list[
            Tensor
        ] = []  # (D, B, P, C) int8, or (D + S, B, P, C) with the S steps of the chunk

    def rest(self, samples: int) -> None:
        """Begin with silence, for so many samples."""
        self.spikes = [
            torch.zeros(
                (kept_steps, samples, height * width, channels),
                dtype=torch.int8,
                device=self.workspace.device,
            )
            for kept_steps, (channels, height, width) in zip(
                self.kept, self.network.shapes, strict=True
            )
        ]

    def begin(self, place: int, steps: int) -> Tensor:
        """Room for the spikes of a layer in a chunk of S steps: (S, B, P, C) int8,
        to be written.
        """
        previous_spikes, kept_steps = self.spikes[place], self.kept[place]
        spikes = previous_spikes.new_empty((kept_steps + steps, *previous_spikes.shape[1:]))
        spikes[:kept_steps] = previous_spikes
        self.spikes[place] = spikes
        return spikes[kept_steps:]

    def end(self, place: int) -> None:
        """After a layer has taken a chunk: free what no layer has still to read there."""
        for read in self.finished[place]:
            self.spikes[read] = self.spikes[read][-self.kept[read] :].clone()

    def arrived(self, layer_input: Input, steps: range, name: str) -> Tensor:
        """x of an input at some steps: (S, B, P, C) int8, not spread, valid until the next call
        with this name.
        """
        arriving = [
            (
                source.sign,
                source.arriving(partial(self._fired, self.network.place(source.layer), steps), -1),
            )
            for source in layer_input.sources
        ]
        sums = [
            self._summed(summands, f"{name} {number}")
            for number, summands in enumerate(layer_input.summands(arriving))
        ]
        return sums[0] if len(sums) == 1 else torch.cat(sums, -1)

    def _summed(self, summands: Sequence[tuple[int, Tensor]], name: str) -> Tensor:
        """The sum of spikes, each with a sign, valid until the next one of this name."""
        (sign, spikes), *further_spikes = summands
        if sign == 1 and not further_spikes:
            return spikes
        summed = self.workspace.block(name, tuple(spikes.shape), torch.int8)
        torch.mul(spikes, sign, out=summed)
        for sign, spikes in further_spikes:
            summed.add_(spikes, alpha=sign)
        return summed

    def _fired(self, place: int, steps: range, delay: int) -> Tensor:
        """The spikes of so many steps before some steps of the chunk, (S, B, P, C) int8."""
        first = self.kept[place] - delay
        return self.spikes[place][first + steps.start : first + steps.stop]
