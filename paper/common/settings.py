"""The configuration of the experiments: networks as `train` and `convert` make them, and what to
measure.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from spikesam import InputError
from spikesam.errors import at
from spikesam.settings import (
    CONFIGS,
    Config,
    ConversionRule,
    Device,
    NetworkSection,
    Section,
    Seed,
    TrainingSection,
    Unit,
    read_toml,
    validated,
)

DEFAULT = CONFIGS / "paper" / "digits.toml"

# Σ learning rate × weight decay over the paper's training, with batches of 32: 100,000 images an
# epoch, 90 epochs, a rate of 0.1 that is divided by ten after 50, 70 and 90 % of them, a decay of
# 5·10⁻⁴.
PAPER_SUM = 3125 * 0.1 * 5e-4 * (45 + 18 / 10 + 18 / 100 + 9 / 1000)


class PaperSection(Section):
    """Subjects of a measurement, and their number."""

    checkpoint: str | None = Field(
        None, description="surrogate-trained network to use; trained first if not given"
    )
    ann: str | None = Field(
        None, description="its ANN twin, to convert, and for Grad-CAM; trained if not given"
    )
    images: int = Field(
        100, ge=1, description="validation images, from a seeded class-balanced order"
    )
    shown: int = Field(4, ge=1, description="images in a figure of maps")
    picture: int | None = Field(None, description="the image that fig2 and fig5 show first")
    show_images: bool = Field(
        True, description="draw maps over their images; without it maps alone"
    )
    layers: tuple[str, ...] = Field(
        (), description="the paper's layers 4, 6 and 8; all convolutions if not given"
    )
    gamma: float = Field(0.5, ge=0, description="γ, decay of the map's kernel per step")
    gammas: tuple[float, ...] = Field(
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), description="γ of fig8's sweep"
    )
    leaks: tuple[Unit, ...] = Field(
        (0.7, 0.8, 0.9), min_length=1, description="λ of table1's networks"
    )
    leak_epochs: int = Field(8, ge=1, description="epochs of table1's networks")
    accuracy_images: int = Field(
        500, ge=1, description="validation images that table1 takes the accuracy on"
    )
    trainings: int = Field(
        2, ge=1, description="trainings of each λ, from seeds training.seed, …; 1 compares none"
    )
    epsilons: tuple[float, ...] = Field(
        (0.0, 0.002, 0.004, 0.008, 0.016, 0.032),
        description="attack strengths, in the 0…1 range of a pixel",
    )
    shift_epsilon: float = Field(
        0.008, ge=0, description="attack strength at which heatmaps are compared"
    )
    strong_epsilon: float = Field(
        0.032, ge=0, description="strength at which answers change; heatmaps are compared again"
    )
    attack_iterations: int = Field(10, ge=1, description="steps of an iterated attack (PGD)")
    attack_seeds: int = Field(
        2, ge=1, description="Poisson seeds of an iterated attack, and as many others for answers"
    )
    randomised: int = Field(24, ge=1, description="images of the randomisation check")
    shuffles: int = Field(3, ge=1, description="shuffles of the weights in the randomisation check")
    curves: int = Field(100, ge=1, description="images of the insertion and deletion curves")
    deletion: int = Field(
        100, ge=1, description="samples whose spikes are deleted by spike_deletion"
    )
    two_objects: int = Field(
        50, ge=1, description="images with two objects; side by side, at most half of images"
    )
    rules: tuple[ConversionRule, ...] = Field(
        ("percentile", "scaled", "balanced"),
        description="rules that fig5, fig6 and fig8 set beside conversion.rule",
    )
    both_backends: int = Field(
        4, ge=0, description="images that fig5 runs on every backend, to compare the maps"
    )
    seed: Seed = 0
    device: Device = "auto"
    batch_size: int = Field(8, ge=1, le=16, description="images simulated together")


class DosesSection(Section):
    """Networks of the experiment "doses": so small that many can be trained."""

    side: int = Field(16, ge=1, description="rows and columns of the networks' input, pixels")
    classes: tuple[str, ...] | None = Field(
        None, description="classes to use; those of data.classes if not given"
    )
    train_scenes: int = Field(
        4000, ge=1, description="training scenes, of all classes, where the data are generated"
    )
    network: NetworkSection = NetworkSection(layers=(8, "P", 8, "P", 16, "D16"), timesteps=12)
    first: TrainingSection = TrainingSection(
        epochs=10,
        batch_size=16,
        optimizer="sgd",
        learning_rate=0.1,
        schedule="step",
        clip=0.0,
        gain_decay=0.0,
    )
    training: TrainingSection = TrainingSection(
        epochs=10, batch_size=16, optimizer="sgd", learning_rate=0.1, schedule="step", clip=0.0
    )
    doses: tuple[float, ...] = Field(
        (0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
        min_length=2,
        description="of the gains' decay, in units of the paper's",
    )
    rate: float = Field(
        30.0, gt=0, description="learning rate of the gains, in units of training.learning_rate"
    )
    other_rates: tuple[float, ...] = Field(
        (), description="further rates of the gains, at some doses"
    )
    other_doses: tuple[float, ...] = Field(
        (0.0, 0.25, 1.0), description="doses that gains get by these rates, too"
    )
    trainings: int = Field(
        3, ge=2, description="trainings of each dose, from seeds training.seed, …"
    )
    lengths: tuple[int, ...] = Field(
        (11, 44, 176), min_length=1, description="epochs of the experiment length's trainings"
    )
    length_trainings: int = Field(3, ge=2, description="trainings of each of these lengths")
    images: int = Field(100, ge=1, description="validation images")


class SameWeightsSection(Section):
    """Attacks of the experiment "same_weights", on the ANN twin and on the networks that it is
    converted to.
    """

    images: int = Field(60, ge=1, description="validation images")
    timesteps: int = Field(16, ge=1, description="T of the converted networks")
    widths: tuple[float, ...] = Field(
        (1.0, 0.5, 2.0),
        min_length=1,
        description="widths of the surrogates that they are attacked through, in thresholds",
    )
    rule: ConversionRule = Field(
        "balanced", description="rule of conversion; this one needs the fewest steps"
    )
    epsilons: tuple[float, ...] = Field(
        (0.016, 0.032, 0.064, 0.128), min_length=1, description="attack strengths, up to chance"
    )
    iterations: int = Field(100, ge=1, description="steps of each attack (PGD)")
    restarts: int = Field(
        2, ge=1, description="attacks of each kind: from the image, then from random points"
    )
    draws: int = Field(
        20, ge=1, description="Poisson seeds of the answers, and as many others of the attacker"
    )
    at_once: int = Field(
        1, ge=1, description="seeds that each step of an attack averages over, in turn"
    )


class TimingTask(Section):
    """The networks of one task of the experiment "timing"."""

    layers: tuple[int | str, ...] = Field(
        (12, "P", 24, "P", "D48"), description="as network.layers"
    )
    epochs: int = Field(9, ge=1, description="passes over the training samples")
    samples: int = Field(1500, ge=1, description="training samples")
    trainings: int = Field(
        10, ge=2, description="networks, from seeds training.seed, training.seed + 1, …"
    )


class TimingSection(Section):
    """Networks and measurements of the experiment "timing", whose tasks have equal spike counts."""

    network: NetworkSection = NetworkSection(leak=0.9, encoder="spikes")
    training: TrainingSection = TrainingSection(
        batch_size=64, learning_rate=4e-3, weight_decay=0.01
    )
    tasks: dict[str, TimingTask] = Field(
        {
            "manifold": TimingTask(layers=(12, "P", 24, "D48"), epochs=5),
            "latency": TimingTask(epochs=10, samples=2500),
            "bursts": TimingTask(epochs=13),  # the network of both, so alike
            "regular": TimingTask(epochs=13),
        },
        description="the networks of each task",
    )
    accuracy_samples: int = Field(
        500, ge=1, description="unseen samples that the accuracy is taken on"
    )
    samples: int = Field(60, ge=4, description="unseen samples that maps are measured on")
    gammas: tuple[float, ...] = Field((0.01, 0.1, 0.5, 1.0, 3.0), description="γ of the sweep")
    parts: int = Field(16, ge=1, description="parts of equal spikes in which they are deleted")
    ties: int = Field(20, ge=1, description="random orders of what is equal in a map")
    margin: float = Field(0.02, gt=0, description="a difference of at most so much counts as none")


class PaperConfig(Config):
    """Everything; the surrogate-trained network is that of data, network and training."""

    ann: TrainingSection = TrainingSection()
    doses: DosesSection = DosesSection()
    same_weights: SameWeightsSection = SameWeightsSection()
    timing: TimingSection = TimingSection()
    paper: PaperSection = PaperSection()


def load_paper_config(path: Path | None = None) -> PaperConfig:
    """Read a TOML file; None reads the embedded digits."""
    path = path or DEFAULT
    values = read_toml(path)
    with at(path):
        config = validated(PaperConfig, values)
    if config.network.neuron != "lif":
        raise InputError(
            f'{path}: network.neuron is {config.network.neuron!r}, expected "lif"; its ANN twin is '
            "implied"
        )
    return config
