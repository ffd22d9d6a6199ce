"""What a network does step by step on raw time, from step 0 of the recording on: gains, spike rates, answers, spikes.

A layer is silent until the image reaches it. On raw time that silence counts; on time from arrival it does not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from paper.common.heatmaps import convolutions
from paper.common.moments import current_moments, learnt_scales
from paper.common.setup import Setup
from paper.measures.over_time import activity, spike_rate
from paper.measures.tables import measured, measured_over_steps, summary, summary_of_shares
from spikesam.backends.base import unpacked
from spikesam.backends.network import Network
from spikesam.pipeline.networks.convert.latency import answers_over_time
from spikesam.recordings.raster.reader import RasterReader

CALIBRATION = 32  # images that the spread of currents is measured on
GAIN, RATE, RIGHT, SPIKES = "gain of BNTT", "spike rate", "accuracy", "spikes of one image"


def gains(setup: Setup, network: Network) -> pd.DataFrame:
    """BNTT's gain of every channel and step: how widely it spreads currents, in membrane per threshold 1.

    A network file holds it divided by the spread of the currents, which is measured here. In the table: image, layer,
    step, value, `image` is the channel: units here are channels.
    """
    images = setup.images.take(CALIBRATION)
    (inputs,) = images.encoded(range(len(images)), network, setup.settings.seed, len(images))
    moments = current_moments(network, torch.from_numpy(unpacked(inputs)).to(torch.float32))
    parts = []
    for layer, number, (_, variance), scales in zip(
        network.layers, range(1, len(network.layers) + 1), moments, learnt_scales(network, moments), strict=True
    ):
        reached = np.abs(scales) * (variance > 0)
        parts += [
            measured(channels, layer=layer.name, step=step)
            for step, channels in enumerate(reached, 1)
            if number <= step < number + network.timesteps - len(network.layers)
        ]
    return pd.concat(parts)


def rates(raster: RasterReader) -> pd.DataFrame:
    """Share of a convolution's neurons that fire, of every image at every step: image, layer, step, value."""
    return pd.concat(
        [
            measured_over_steps(spike_rate(raster.counts(layer), raster.layer(layer).neurons), layer=layer)
            for layer in convolutions(raster)
        ]
    )


def thirds(raster: RasterReader) -> pd.DataFrame:
    """Activity of each third of the steps from 0 to the last that matters, and the step of the "peak", the busiest."""
    parts = []
    for layer in convolutions(raster):
        counts = raster.counts(layer)[:, : raster.steps_that_matter(layer)]
        parts += [measured(active, layer=layer, measure=name) for name, active in activity(counts).items()]
        parts.append(measured(counts.argmax(axis=1), layer=layer, measure="peak"))
    return pd.concat(parts)


def answers(network: Network, raster: RasterReader) -> pd.DataFrame:
    """What an image's answer is worth after so many steps (1 … T), and the spikes of all layers until then.

    Spikes that come too late to change the answer of the whole recording are not counted.
    """
    last, labels = raster.layer(network.raster_names[-1]), raster.samples.label
    chosen = np.concatenate(
        [answers_over_time(network, raster.packed(last, sample)[None]) for sample in range(raster.n_samples)]
    )
    spent = np.zeros(chosen.shape, np.int64)
    for layer in raster.layers:
        if layer.kind != "input":
            matter = raster.steps_that_matter(layer)
            spent[:, :matter] += raster.counts(layer)[:, :matter]
    spent = spent.cumsum(axis=1)
    right = measured_over_steps(chosen == labels[:, None], 1, measure=RIGHT)
    return pd.concat([right, measured_over_steps(spent, 1, measure=SPIKES)])


def curves(setup: Setup, network: Network) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All of it for one network: a summary by measure, layer and step, and what was found image by image.

    The latter has thirds and peaks, and in layer "" accuracy and spikes of all steps.
    """
    with RasterReader(setup.recording(network, setup.images)) as raster:
        of_rates, of_thirds, of_answers = rates(raster), thirds(raster), answers(network, raster)
    right = of_answers[of_answers["measure"] == RIGHT]
    parts = [
        summary(gains(setup, network)).assign(measure=GAIN),
        summary(of_rates).assign(measure=RATE),
        summary_of_shares(right).assign(layer=""),
        summary(of_answers[of_answers["measure"] == SPIKES]).assign(layer=""),
    ]
    columns = ["measure", "layer", "step", "n", "mean", "low", "high"]
    end = of_answers[of_answers["step"] == network.timesteps].drop(columns="step").assign(layer="")
    return pd.concat([part[columns] for part in parts]), pd.concat([of_thirds, end])
