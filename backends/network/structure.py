"""Structure: the parts of a network, unchecked, and what follows from them: names, shapes, kinds,
delays, rasters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from spikesam.backends.network.checks import NetworkError, Sides
from spikesam.backends.network.inputs import Input
from spikesam.backends.network.layers import Layer, Readout
from spikesam.backends.network.synapses.synapse import Shape
from spikesam.backends.network.wiring import dependents, reads_alone, shapes_of, steps_to_readout
from spikesam.recordings.raster.batch import packed_bytes

Encoder = Literal["poisson", "spikes", "constant-current", "changing-current", "image"]
Kind = Literal["snn", "ann"]

DEFAULT_RANGE = 2.0  # of pixels, as of Poisson spikes, which fire at every step for a pixel of 2


@dataclass(frozen=True, eq=False)
class Structure:
    """The parts of a :class:`~spikesam.backends.network.graph.Network`, which says what each is,
    and checks them.
    """

    input_shape: Shape
    timesteps: int
    layers: tuple[Layer, ...]
    readout: Readout
    encoder: Encoder = "poisson"
    input_range: float = DEFAULT_RANGE
    window: int | None = None
    late: tuple[int, ...] | None = None

    @property
    def kind(self) -> Kind:
        """ "snn" of a spiking network, "ann" of one with neurons ReLU."""
        return "snn" if self.layers[0].neuron.spikes else "ann"

    @property
    def spiking_input(self) -> bool:
        """True if the input is spikes, which are recorded as layer 0: those of an encoder, or the
        caller's own.
        """
        return self.encoder in ("poisson", "spikes")

    @property
    def current_input(self) -> bool:
        """True if the input is int8 numbers, those of an image at every step, or others at each."""
        return self.encoder in ("constant-current", "changing-current")

    @cached_property
    def driven(self) -> tuple[tuple[int, int], ...]:
        """The inputs of layers that numbers drive, not spikes: number of the layer and of its
        input, both from 0.
        """
        return tuple(
            (place, number)
            for place, layer in enumerate(self.layers)
            for number, each in enumerate(layer.inputs)
            if self.current_input and any(source.layer == "input" for source in each.sources)
        )

    @property
    def takes_images(self) -> bool:
        """True if an image is encoded as the input, which is not brought step by step by the
        caller.
        """
        return self.encoder not in ("spikes", "changing-current")

    @property
    def precision(self) -> str:
        """Either "fixed" or "float32"."""
        return "fixed" if self.readout.weight.dtype == np.int8 else "float32"

    @property
    def outline(self) -> list[tuple[str, int, Sides]]:
        """Kind, outputs and pool of every layer: equal in all networks of one description, whatever
        their neurons.
        """
        return [
            (
                "recurrent" if layer.reads_itself else layer.kind,
                layer.inputs[0].gain.shape[1],
                layer.inputs[0].synapse.pool,
            )
            for layer in self.layers
        ]

    @property
    def classes(self) -> int:
        """Number of outputs."""
        return int(self.readout.weight.shape[0])

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """(C, H, W) of the input, then of each layer."""
        return shapes_of(self.input_shape, self.layers)

    @property
    def is_chain(self) -> bool:
        """True if every layer reads the layer before, and nothing else."""
        return all(reads_alone(layer, before) for layer, before in self._behind)

    @property
    def _behind(self) -> Iterator[tuple[Layer, str]]:
        """Each layer, and the name of the layer before, or "input"."""
        return zip(self.layers, self.names, strict=False)

    @cached_property
    def has_loops(self) -> bool:
        """True if a layer reads one that comes later; a layer that reads itself makes no loop."""
        return any(
            self.place(source.layer) > number
            for number, layer in enumerate(self.layers, 1)
            for source in layer.sources
        )

    @cached_property
    def to_readout(self) -> dict[str, int]:
        """Name of a layer, or "input" -> the steps that its spikes need at least to the readout: 0
        of the last.
        """
        return steps_to_readout(self.layers)

    @property
    def model_steps(self) -> int:
        """The steps of the model without delay between layers that the network is of: those that
        its input has.
        """
        return self.timesteps - self.to_readout["input"] if self.window is None else self.window

    @cached_property
    def starts(self) -> dict[str, int]:
        """Name of a layer, or "input" -> the step at which it answers the first step of such a
        model.

        Negative where no window says it, of a layer that is further from the readout than the input.
        """
        if self.late is not None:
            return dict(zip(self.names, (0, *self.late), strict=True))
        stop = self.timesteps - self.model_steps
        return {name: stop - self.to_readout.get(name, stop) for name in self.names}

    def dependents(self, name: str) -> tuple[str, ...]:
        """The layers that a way leads to from a layer or from "input", in order; itself only where
        it is in a loop.
        """
        return dependents(self.layers, name)

    def shape_read(self, given: Input) -> Shape:
        """(C, H, W) of the layers that an input reads."""
        return self.shapes[self.place(given.sources[0].layer)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """ "input", then the name of each layer."""
        return ("input", *(layer.name for layer in self.layers))

    def place(self, name: str) -> int:
        """Number of a layer among :attr:`shapes`: 0 of "input"."""
        return self._places[name]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def raster_names(self) -> tuple[str, ...]:
        """Names of the layers that fire: "input", "conv1", …; from "conv1" where the input has no
        spikes.
        """
        return self.names[self.first_raster :]

    @cached_property
    def raster_shapes(self) -> tuple[Shape, ...]:
        """(C, H, W) of each of :attr:`raster_names`."""
        return self.shapes[self.first_raster :]

    @cached_property
    def shape_of(self) -> dict[str, Shape]:
        """Each of :attr:`raster_names` -> its (C, H, W), in order of depth."""
        return dict(zip(self.raster_names, self.raster_shapes, strict=True))

    @cached_property
    def raster_bytes(self) -> tuple[int, ...]:
        """Bytes of a packed step of each of :attr:`raster_names`."""
        return tuple(packed_bytes(math.prod(shape)) for shape in self.raster_shapes)

    @property
    def first_raster(self) -> int:
        """Number of the first layer that fires: 0, the input, or 1 where the input has no spikes."""
        return 0 if self.spiking_input else 1

    def check_sums_alone(self, where: str, why: str = "") -> None:
        """Refuse one that spreads or multiplies spikes, or sums currents; `where` and `why` are
        part of the message.
        """
        for layer in self.layers:
            for each in layer.inputs:
                if does := each.synapse.beyond_sums:
                    raise NetworkError(
                        f"{where}: layer {layer.name!r} {does}{why}, expected sums of spikes"
                    )
