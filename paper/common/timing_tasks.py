"""Tasks whose classes differ in when neurons fire, and in nothing else: every input neuron fires
equally often.

Three ideas, four tasks, all on a grid of 12×12 places, so that a map exists. In each some places
decide, and others fire as often but decide nothing:

- "manifold": in one quarter of the grid the times of the spikes are smooth random functions of one
  hidden number, other functions for each class; elsewhere they are random. After Zenke & Vogels
  (2021), whose manifolds have no places.
- "latency": a handwritten digit, one spike for each pixel, the more ink the earlier; blank pixels
  fire last.
- "bursts" and "regular": two shapes, one fires in bursts and the other regularly. The class is the
  shape that fires in bursts, or else the one that fires regularly: the same spikes and two
  questions, which one network answers with two readouts.

References
----------
Zenke & Vogels 2021, The remarkable robustness of surrogate gradient learning for instilling complex
function in spiking neural networks, Neural Comput. 33.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from paper.common.images import TimedSpikes
from paper.common.setup import Setup
from spikesam import InputError, Network
from spikesam.data import SampleTable, handwriting
from spikesam.settings import NetworkSection, TrainingSection
from spikesam.training import (
    SpikingNetwork,
    export_network,
    plan_layers,
    read_network,
    write_network,
)

SIDE = 12  # places in a row and in a column
BINS = 18  # steps in which the input fires
SPLITS = ("train", "selection", "val")
PER_NEURON = 3  # spikes of a neuron in "manifold", one in each third of the time
CLASSES, WAVES, SMOOTHNESS, FIELD = 5, 8, 2.0, slice(3, 9)  # of "manifold"; its places that decide
BURST = 3  # spikes in a row; two bursts a neuron
SHAPES = (
    np.array(
        [
            [list(row) for row in shape.split()]
            for shape in (
                "11111 10001 10001 10001 11111",  # a frame
                "11011 11011 00000 11011 11011",  # four blocks
                "01010 11111 01010 11111 01010",  # a hash
                "11111 00011 00111 01110 11100",  # a seven
            )
        ]
    )
    == "1"
)  # (4, 5, 5), sixteen places each

Times = NDArray[np.int64]
WARM_UP = 0.2  # share of the steps in which the one-cycle schedule's rate rises


def samples_of(task: str, split: str, count: int) -> TimedSpikes:
    """Samples of a task; the classes come in turn. No random number, and no handwritten digit, is
    in two splits.
    """
    if task not in TASKS or split not in SPLITS:
        raise InputError(
            f"timing task: got {task!r}, {split!r}, expected one of {', '.join(TASKS)} and of "
            f"{SPLITS}"
        )
    same = list(TASKS).index("bursts" if task == "regular" else task)
    random = np.random.default_rng([same, SPLITS.index(split)])
    values, answers, deciding, others = TASKS[task](split, count, random)
    table = SampleTable(np.arange(count), answers[:, QUESTION[task]].astype(np.int32))
    return TimedSpikes(
        f"timing/{task}/{split}", table, values[:, :, None], answers, deciding, others
    )


Drawn = tuple[NDArray[np.bool_], Times, NDArray[np.bool_], NDArray[np.bool_]]
"""Spikes (BINS, N, H, W), the classes by each question (N, Q), the places that decide, and the
others.
"""


def manifold(split: str, count: int, random: np.random.Generator) -> Drawn:
    """Spike k of a neuron lies in the k-th third of the time, at a step that is a smooth function
    of one number.
    """
    labels = np.arange(count) % CLASSES
    fixed = np.random.default_rng(0)  # the functions are the task's, the same for every split
    waves = np.arange(1, WAVES + 1)
    inside = FIELD.stop - FIELD.start
    shape = (CLASSES, WAVES, PER_NEURON, inside, inside)
    height, phase = (
        fixed.normal(size=shape) * waves[:, None, None, None] ** -SMOOTHNESS,
        fixed.random(shape),
    )
    grid = np.linspace(0, 1, 257)
    angle = (
        2 * np.pi * (waves[:, None, None, None] * grid[:, None, None, None, None] + phase[:, None])
    )
    found = (height[:, None] * np.sin(angle)).sum(
        axis=2
    )  # (CLASSES, 257, PER_NEURON, inside, inside)
    low, high = found.min(axis=1, keepdims=True), found.max(axis=1, keepdims=True)
    part = (found - low) / (high - low)
    share = random.random((count, PER_NEURON, SIDE, SIDE))
    share[:, :, FIELD, FIELD] = part[labels, random.integers(256, size=count)]
    third = BINS // PER_NEURON
    steps = (
        np.minimum((share * third).astype(np.int64), third - 1)
        + third * np.arange(PER_NEURON)[:, None, None]
    )
    deciding = np.zeros((count, SIDE, SIDE), np.bool_)
    deciding[:, FIELD, FIELD] = True
    return spikes_at(steps), labels[:, None], deciding, ~deciding


def latency(split: str, count: int, random: np.random.Generator) -> Drawn:
    """A digit of 8×8 places, moved by up to one from the middle; step 0 for full ink, the last for
    none.
    """
    glyphs, targets = handwriting(split)
    labels = np.arange(count) % 10
    ink = np.zeros((count, SIDE, SIDE))
    for sample, label in enumerate(labels.tolist()):
        y, x = random.integers(1, 4, 2).tolist()
        ink[sample, y : y + 8, x : x + 8] = glyphs[
            random.choice(np.flatnonzero(targets == label)), 3:11, 3:11
        ]
    return (
        spikes_at(np.rint((1 - ink) * (BINS - 1)).astype(np.int64)[:, None]),
        labels[:, None],
        ink >= 0.5,
        ink < 0.5,
    )


def bursts(split: str, count: int, random: np.random.Generator) -> Drawn:
    """Two different shapes side by side, on either side; the class is the one that fires in bursts.

    Every place of them fires six times: in two bursts of three steps in a row, or at every third
    step.
    """
    labels = np.arange(count) % len(SHAPES)
    rivals = (labels + random.integers(1, len(SHAPES), count)) % len(SHAPES)
    bursting, steady = masks = np.zeros((2, count, SIDE, SIDE), np.bool_)
    left = random.random(count) < 0.5
    for sample, first in enumerate(left.tolist()):
        for mask, shape, side in zip(
            masks, (labels, rivals), (0, SIDE // 2) if first else (SIDE // 2, 0), strict=True
        ):
            y, x = int(random.integers(SIDE - 4)), side + int(random.integers(SIDE // 2 - 4))
            mask[sample, y : y + 5, x : x + 5] = SHAPES[shape[sample]]
    period = BINS // (2 * BURST)
    at = random.integers(period, size=(count, 1, SIDE, SIDE))
    evenly = at + period * np.arange(2 * BURST)[:, None, None]
    half = BINS // 2
    start = (
        random.integers(half - BURST + 1, size=(count, 2, 1, SIDE, SIDE))
        + half * np.arange(2)[:, None, None, None]
    )
    together = (start + np.arange(BURST)[:, None, None]).reshape(count, 2 * BURST, SIDE, SIDE)
    values = spikes_at(together) & bursting | spikes_at(evenly) & steady
    return values, np.stack([labels, rivals], axis=1), bursting, steady


def regular(split: str, count: int, random: np.random.Generator) -> Drawn:
    """The spikes of :func:`bursts`; the class is the shape that fires regularly."""
    values, labels, bursting, steady = bursts(split, count, random)
    return values, labels, steady, bursting


def spikes_at(steps: Times) -> NDArray[np.bool_]:
    """Spikes at the steps (N, K, H, W), which differ for a neuron: (BINS, N, H, W) bool."""
    count, _, height, width = steps.shape
    values = np.zeros((BINS, count, height, width), np.bool_)
    sample, _, row, column = np.indices(steps.shape)
    values[steps, sample, row, column] = True
    return values


TASKS: dict[str, Callable[[str, int, np.random.Generator], Drawn]] = {
    each.__name__: each for each in (manifold, latency, bursts, regular)
}
QUESTION = {
    "manifold": 0,
    "latency": 0,
    "bursts": 0,
    "regular": 1,
}  # of those that the spikes are asked


def timing_network(setup: Setup, task: str, seed: int) -> Network:
    """The network trained on a task from a seed of weights and order.

    Where the same spikes are asked several questions, one network is trained on all, and has a
    readout for each.
    """
    settings = setup.config.timing
    about = settings.tasks[task]
    layers = {"layers": about.layers, "timesteps": BINS + len(plan_layers(about.layers))}
    network = settings.network.model_copy(update=layers)
    training = settings.training.model_copy(update={"epochs": about.epochs, "seed": seed})
    samples = samples_of(task, "train", about.samples)
    described = training.model_dump(
        mode="json",
        include={"epochs", "batch_size", "learning_rate", "weight_decay", "clip", "seed"},
    )
    inputs = {
        "samples": samples.sha256,
        "network": network.model_dump(mode="json"),
        "training": described,
    }

    def build(folder: Path) -> None:
        with setup.progress(f"training: {task}, seed {seed}", training.epochs) as advance:
            model = train(samples, network, training, advance)
        write_network(export_network(model), folder / "network.safetensors")

    trained = read_network(setup.cache.folder("timing", inputs, build) / "network.safetensors")[0]
    readouts = trained.readout.weight.reshape(
        samples.answers.shape[1], -1, trained.readout.weight.shape[1]
    )
    return replace(
        trained, readout=replace(trained.readout, weight=readouts[QUESTION[task]], bias=0.0)
    )


def train(
    samples: TimedSpikes,
    network: NetworkSection,
    training: TrainingSection,
    advance: Callable[[int], None],
) -> SpikingNetwork:
    """A network after the last epoch: AdamW, one cycle of the rate, cross-entropy of each
    question's logits, added.
    """
    if len(samples) < training.batch_size:
        raise InputError(
            f"timing: got {len(samples)} training samples, expected a batch of "
            f"{training.batch_size}"
        )
    torch.manual_seed(training.seed)
    silent = np.zeros((network.timesteps - BINS, *samples.values.shape[1:]), np.bool_)
    inputs = torch.from_numpy(np.concatenate([samples.values, silent]))
    answers = torch.from_numpy(samples.answers)
    questions, classes = answers.shape[1], int(answers.max()) + 1
    model = SpikingNetwork(network, (1, SIDE, SIDE), questions * classes, fused=True)
    model.to(memory_format=torch.channels_last)
    batches = len(samples) // training.batch_size
    optimizer = torch.optim.AdamW(
        model.parameters(), training.learning_rate, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=training.epochs * batches, pct_start=WARM_UP
    )
    for _ in range(training.epochs):
        for chosen in torch.randperm(len(samples)).split(training.batch_size)[:batches]:
            logits = model(inputs[:, chosen].float()).unflatten(1, (questions, classes))
            loss: Tensor = questions * functional.cross_entropy(
                logits.flatten(0, 1), answers[chosen].flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip or math.inf)
            optimizer.step()
            schedule.step()
        advance(1)
    return model.eval()
