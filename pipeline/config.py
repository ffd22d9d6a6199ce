"""The configuration: strict sections, read from TOML, saved resolved with every result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field

from pipeline.bundled import bundled
from pipeline.cli.config_errors import read_toml, validated
from pipeline.cli.options import CheckpointName, Data, Device, Download, Samples, Seed

CONFIGS = bundled("configs")
DEFAULT_CONFIG = CONFIGS / "default.toml"

Unit = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen group of settings that knows nothing but its own keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSection(Section):
    """What the network is trained on, and how images are prepared for it."""

    source: str = Field(
        "cluttered-digits",
        description='"cluttered-digits", "cifar10", "fashion-mnist", or a path: Tiny-ImageNet (folder or zip), or a '
        "folder of class folders",
    )
    classes: tuple[str, ...] | None = Field(None, description="classes to use, in label order; all if not given")
    height: int = Field(80, ge=1, description="rows of the network's input, pixels")
    width: int = Field(80, ge=1, description="columns of the network's input, pixels")
    mean: tuple[float, float, float] = Field((0.5, 0.5, 0.5), description="subtracted from RGB in 0…1")
    std: tuple[float, float, float] = Field((0.25, 0.25, 0.25), description="then divided by")
    download: Download = False
    train_scenes: int = Field(8000, ge=1, description="training scenes of cluttered-digits; other sets have their own")


class NetworkSection(Section):
    """The network: one list describes it, after VGG."""

    layers: tuple[int | str, ...] = Field(
        (16, "P", 32, "P", 64, "P", "D128"),
        description='numbers: 3×3 convolutions with that many channels; "P" or "P4": average pooling by 2 or 4; '
        '"D256": 256 dense neurons',
    )
    neuron: Literal["lif", "relu"] = Field(
        "lif",
        description='"lif" spikes; "relu" is the artificial twin for pipeline.convert, to which only layers apply',
    )
    timesteps: int = Field(16, ge=1, description="T, steps per image; lif only")
    leak: Unit = Field(0.99, description="λ, membrane kept from step to step; lif only")
    threshold: float = Field(1.0, gt=0, description="θ, membrane at which a neuron fires; lif only")
    normalise: bool = Field(True, description="batch normalisation through time (BNTT); lif only")


class TrainingSection(Section):
    """Backpropagation, of spiking networks through time."""

    epochs: int = Field(20, ge=1, description="passes over the training part")
    batch_size: int = Field(32, ge=2, description="images per step and process")
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="sgd is the paper's")
    learning_rate: float = Field(2e-3, gt=0, description="the largest of the schedule")
    momentum: Unit = Field(0.9, description="of sgd")
    weight_decay: float = Field(5e-4, ge=0, description="L2 (sgd) or decoupled (adamw)")
    schedule: Literal["step", "one-cycle"] = Field("one-cycle", description="step: ÷ 10 at 50, 70 and 90 % of epochs")
    flip: bool = Field(True, description="mirror training images at random")
    shift: int = Field(4, ge=0, description="move training images by up to so many pixels, edges repeated")
    crop: float = Field(1.0, gt=0, le=1, description="smallest share of the area that a random zoom keeps")
    keep_object: bool = Field(False, description="let a zoom never cut the object, where its box is known")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the features dropped in front of dense layers")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the cross-entropy")
    clip: float = Field(1.0, ge=0, description="gradient norm limit; 0 for none")
    selection: float = Field(0.1, gt=0, lt=1, description="share of the training part kept aside to select by")
    bfloat16: bool = Field(True, description="convolutions in bfloat16")
    fused: bool = Field(
        True, description="on a CPU, one fused operation for BNTT and neurons; same result, less time; lif only"
    )
    workers: int = Field(0, ge=0, description="data loading processes")
    processes: int = Field(1, ge=1, description="GPUs, or CPU processes, to train with")
    seed: int = Field(0, ge=0, description="of weights, order, augmentation and Poisson spikes in training")


class ConversionSection(Section):
    """ANN-to-SNN conversion."""

    ann: str = Field("cluttered-digits-ann", description="a bundled ANN's name, or a file that pipeline.train made")
    timesteps: int = Field(500, ge=1, description="T, steps per image")
    rule: Literal["max", "percentile", "scaled", "balanced"] = Field(
        "max",
        description="thresholds from: the largest input current (the paper's), a percentile of them, the largest "
        "times scale, or local threshold balancing",
    )
    percentile: float = Field(99.9, gt=0, le=100, description="of the positive input currents; rule percentile")
    scale: float = Field(0.8, gt=0, le=1, description="of the largest input current; rule scaled")
    encoder: Literal["poisson", "constant-current"] = Field(
        "poisson", description="what the network's input is: Poisson spikes, or the image itself at every step"
    )
    calibration: int = Field(64, ge=2, description="training images that the thresholds come from")
    seed: int = Field(0, ge=0, description="of the choice of these images and their Poisson spikes")


class RunSection(Section):
    """Simulation, recording and explanation."""

    checkpoint: CheckpointName = "cluttered-digits"
    data: Data = ("cluttered-digits",)
    download: Download = False
    backend: Literal["auto", "event", "torch", "lava"] = Field(
        "auto", description="the simulator; auto is torch where there is a CUDA device, and event otherwise"
    )
    samples: Samples = 8
    seed: Seed = 0
    precision: Literal["fixed", "float32"] = Field("fixed", description="fixed: integers, the same bits everywhere")
    device: Device = "auto"
    batch_size: int = Field(
        8, ge=1, le=16, description="images encoded together; the most that torch simulates at a time"
    )
    gamma: float = Field(0.5, ge=0, description="γ, decay of the map's kernel per step")
    lava_models: Literal["event", "stock"] = Field(
        "event", description="layers event-driven, or as Lava's own Conv and Dense (slow)"
    )
    lava_deadline: float | None = Field(
        None, gt=0, description="seconds without a finished image that end a Lava run; 300, with stock models 3600"
    )
    figures: int = Field(4, ge=0, description="samples to make pictures of")


class Config(Section):
    """Everything; `train` uses data, network and training, `convert` conversion and data, `run` uses run."""

    data: DataSection = DataSection()
    network: NetworkSection = NetworkSection()
    training: TrainingSection = TrainingSection()
    conversion: ConversionSection = ConversionSection()
    run: RunSection = RunSection()


def load_config(path: Path | None = None) -> Config:
    """Read a TOML file; None reads the embedded default.

    Raises
    ------
    InputError : one line naming the file, the key, and the nearest valid name or range
    """
    path = path or DEFAULT_CONFIG
    return validated(Config, read_toml(path), path)


def resolved(config: Config) -> dict[str, Any]:
    """Every setting of the sections that were given; a checkpoint, not a default, stands for those that were not."""
    return config.model_dump(mode="json", include=config.model_fields_set, exclude_none=True)


def save_config(config: Config, path: Path) -> None:
    """Write the resolved configuration as TOML; it reads back equal."""
    path.write_text(tomli_w.dumps(resolved(config)), encoding="utf-8")
