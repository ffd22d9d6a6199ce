"""Small spiking networks that solve the timing tasks: trained with surrogate gradients, one for each seed; cached.

Their layers, neurons and BNTT are those of every network trained here; nothing is varied at random and no epoch is
chosen, so the training is a plain loop.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from paper.common.setup import Setup
from paper.common.timing_tasks import BINS, QUESTION, SIDE, TimedSpikes, samples_of
from spikesam.backends.network import Network
from spikesam.backends.network.storage import read_network, write_network
from spikesam.pipeline.config import NetworkSection, TrainingSection
from spikesam.pipeline.networks.layer_list import plan_layers
from spikesam.pipeline.training.export import export_network
from spikesam.pipeline.training.spiking_network import SpikingNetwork
from spikesam.recordings.errors import InputError
from spikesam.recordings.progress import Advance

WARM_UP = 0.2  # share of the steps in which the one-cycle schedule's rate rises


def timing_network(setup: Setup, task: str, seed: int) -> Network:
    """The network trained on a task from a seed of weights and order.

    Where the same spikes are asked several questions, one network is trained on all, and has a readout for each.
    """
    settings = setup.config.timing
    about = settings.tasks[task]
    layers = {"layers": about.layers, "timesteps": BINS + len(plan_layers(about.layers))}
    network = settings.network.model_copy(update=layers)
    training = settings.training.model_copy(update={"epochs": about.epochs, "seed": seed})
    samples = samples_of(task, "train", about.samples)
    described = training.model_dump(
        mode="json", include={"epochs", "batch_size", "learning_rate", "weight_decay", "clip", "seed"}
    )
    inputs = {"samples": samples.sha256, "network": network.model_dump(mode="json"), "training": described}

    def build(folder: Path) -> None:
        with setup.progress(f"training: {task}, seed {seed}", training.epochs) as advance:
            model = train(samples, network, training, advance)
        write_network(export_network(model), folder / "network.safetensors")

    trained = read_network(setup.cache.folder("timing", inputs, build) / "network.safetensors")[0]
    readouts = trained.readout.weight.reshape(samples.answers.shape[1], -1, trained.readout.weight.shape[1])
    return replace(trained, readout=replace(trained.readout, weight=readouts[QUESTION[task]], bias=0.0))


def train(samples: TimedSpikes, network: NetworkSection, training: TrainingSection, advance: Advance) -> SpikingNetwork:
    """A network after the last epoch: AdamW, one cycle of the learning rate, cross-entropy of the logits of each
    question, added.

    Parameters
    ----------
    training : epochs, batch_size, learning_rate, weight_decay, clip and seed count
    advance : called with 1 after each epoch

    Raises
    ------
    InputError : if there are fewer samples than a batch
    """
    if len(samples) < training.batch_size:
        raise InputError(f"timing: got {len(samples)} training samples, expected a batch of {training.batch_size}")
    torch.manual_seed(training.seed)
    silent = np.zeros((network.timesteps - BINS, *samples.values.shape[1:]), np.bool_)
    inputs = torch.from_numpy(np.concatenate([samples.values, silent]))
    answers = torch.from_numpy(samples.answers)
    questions, classes = answers.shape[1], int(answers.max()) + 1
    model = SpikingNetwork(network, (1, SIDE, SIDE), questions * classes, fused=True)
    model.to(memory_format=torch.channels_last)
    batches = len(samples) // training.batch_size
    optimizer = torch.optim.AdamW(model.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=training.epochs * batches, pct_start=WARM_UP
    )
    for _ in range(training.epochs):
        for chosen in torch.randperm(len(samples)).split(training.batch_size)[:batches]:
            logits = model(inputs[:, chosen].float()).unflatten(1, (questions, classes))
            loss: Tensor = questions * functional.cross_entropy(logits.flatten(0, 1), answers[chosen].flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip or math.inf)
            optimizer.step()
            schedule.step()
        advance(1)
    return model.eval()
