"""A recorded batch as the network fires that the model became, with the input that the model was
called with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spikesam.backends.network import Network
from spikesam.common.errors import InputError, at
from spikesam.pipeline.networks.recorded import LinedUp
from spikesam.recordings.raster.arrays import layer_specs
from spikesam.recordings.raster.batch import RasterBatch, as_bits, pack
from spikesam.recordings.raster.schema import RasterHeader

WHERE = "record: network"
SCORES = 1e-4  # of the largest score: what the order of additions may change


def match_network(
    network: Network, header: RasterHeader, batch: RasterBatch, inputs: Sequence[Tensor], first: int
) -> tuple[RasterHeader, RasterBatch]:
    """The header and batch of a raster of `network`; refuses spikes or answers, from sample `first`
    on, of another.
    """
    ways = [batch.spikes]
    if network.spiking_input and "input" not in batch.spikes:
        ways = [
            {"input": each} | batch.spikes
            for each in _inputs(inputs, header.timesteps, len(batch), network)
        ]
        shapes: dict[str, Any] = {"input": network.input_shape} | {
            each.name: each.shape for each in header.layers
        }
        header = replace(header, layers=layer_specs(shapes))
    failures = list[InputError]()
    with at(WHERE):
        lined = LinedUp.of(network, header)
    for spikes in ways:
        try:
            with at(WHERE):
                found = lined.batch(spikes, first)
        except InputError as error:  # perhaps the axes of the input are others
            failures.append(error)
            continue
        _check_answers(batch.readout, found.readout, first)
        return lined.header(header), found
    raise failures[0]


def _inputs(
    inputs: Sequence[Tensor], timesteps: int, samples: int, network: Network
) -> Iterator[NDArray[np.uint8]]:
    """The spikes that a model was called with, packed (B, T, bytes), in each way in which their
    axes may be read.
    """
    step_size = samples * prod(network.input_shape)
    readings = list[list[Tensor]]()  # tensors of one or all steps, (steps, samples, neurons)
    if len(inputs) == timesteps and all(step.numel() == step_size for step in inputs):
        readings.append([step.reshape(1, samples, -1) for step in inputs])
    elif len(inputs) == 1 and inputs[0].numel() == step_size:  # the model repeats it
        readings.append([inputs[0].reshape(1, samples, -1)] * timesteps)
    elif len(inputs) == 1 and inputs[0].numel() == step_size * timesteps:
        all_steps = inputs[0]
        if len(all_steps) in (timesteps, timesteps * samples):
            readings.append([all_steps.reshape(timesteps, samples, -1)])
        if len(all_steps) == samples:
            readings.append([all_steps.reshape(samples, timesteps, -1).transpose(0, 1)])
        if all_steps.shape[-1] == timesteps:
            readings.append([all_steps.reshape(samples, -1, timesteps).permute(2, 0, 1)])
    if not readings:
        raise InputError(
            f"{WHERE}: what the model is called with is not an input of {network.input_shape} at "
            f"{timesteps} steps; "
            'hand it over with recording.tap("input", …)'
        )
    for reading in readings:
        bits = as_bits(
            np.concatenate([steps.numpy() for steps in reading]),
            lambda place: f"{WHERE}: input {place}",
        )
        yield pack(bits.reshape(timesteps, samples, *network.input_shape))


def _check_answers(scores: NDArray[Any], readout: NDArray[Any], first: int) -> None:
    """Refuse a model whose answers (B, K), if they are known, are others than the network's."""
    if not scores.shape[1]:
        return
    rows = np.arange(len(scores))
    if scores.shape == readout.shape:
        short = scores.max(axis=1) - scores[rows, readout.argmax(axis=1)]
        rows = np.flatnonzero(short > SCORES * np.abs(scores).max(axis=1))
    if rows.size:
        row = int(rows[0])
        raise InputError(
            f"{WHERE}: sample {first + row}: all spikes are the same, but the model's answer is "
            f"class {scores[row].argmax()} of {scores.shape[1]}, the network's class "
            f"{readout[row].argmax()} of "
            f"{readout.shape[1]}; hand over what the network was imported with, or no output"
        )
