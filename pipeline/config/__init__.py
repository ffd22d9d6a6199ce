"""The settings: sections of fields with limits and a line of help; how they are read, and saved
with every result.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from spikesam.backends.available import BACKENDS
from spikesam.backends.network.consistency import LONGEST
from spikesam.backends.trace import GAMMA
from spikesam.common.arguments import options_of
from spikesam.common.disk import write_file
from spikesam.common.errors import InputError, at
from spikesam.pipeline.config.fields import (
    BackendName,
    CheckpointName,
    Data,
    Device,
    Download,
    KeptSteps,
    SampleCount,
    Seed,
    option_field,
)
from spikesam.pipeline.config.toml import read_toml, validated

CONFIGS = Path(__file__).parents[2] / "configs"
DEFAULT_CONFIG = CONFIGS / "default.toml"
LARGEST_SIDE = 1 << 12  # pixels of an image

Unit = Annotated[float, Field(ge=0, le=1)]
ChannelsOrName = Annotated[
    int | str, Field(union_mode="left_to_right")
]  # "16" on a command line is a number


class Section(BaseModel):
    """A frozen group of settings that knows nothing but its own keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSection(Section):
    """Training data, and how images are prepared for the network."""

    source: str = Field(
        "cluttered-digits",
        description='"cluttered-digits", "contrast-digits", "saccade-digits", "chirps", "cifar10", '
        '"fashion-mnist", or '
        "a path: Tiny-ImageNet (folder or zip), or a folder of class folders, of images or of "
        "events",
    )
    classes: tuple[str, ...] | None = Field(
        None,
        description="classes to use, by identifier or name, ordered by label; all if not given",
    )
    height: int = Field(
        80, ge=1, le=LARGEST_SIDE, description="rows of the network's input, pixels"
    )
    width: int = Field(
        80, ge=1, le=LARGEST_SIDE, description="columns of the network's input, pixels"
    )
    mean: tuple[float, ...] = Field(
        (0.5, 0.5, 0.5),
        description="subtracted from red, green and blue in 0…1; one number: from grey",
    )
    std: tuple[float, ...] = Field(
        (0.25, 0.25, 0.25), description="divisors of these differences, or of grey"
    )
    window_us: int | None = Field(
        None,
        ge=1,
        description="of events: length of a bin, µs; equal parts of each recording if not given",
    )
    binning: Literal["time", "count"] = Field(
        "time", description="of events: bins of equal length, or of equally many events"
    )
    download: Download = False
    train_scenes: int = Field(
        8000,
        ge=1,
        le=1 << 20,
        description=(
            "training items of cluttered-, contrast- or saccade-digits or chirps; other "
            "sets have theirs"
        ),
    )


class NetworkSection(Section):
    """The network; one list describes its layers, from the image to the last dense layer."""

    layers: tuple[ChannelsOrName, ...] = Field(
        (16, "P", 32, "P", 64, "P", "D128"),
        description='numbers: 3×3 convolutions with that many channels; "P" or "P4": average '
        "pooling by 2 or 4; "
        '"A4": a transformer block with 4 heads; "D256": 256 dense neurons, "R256": that read '
        "themselves",
    )
    neuron: Literal["lif", "relu"] = Field(
        "lif",
        description='"lif": neurons that spike; "relu": an ANN for spikesam convert, which needs '
        "only layers",
    )
    encoder: Literal["poisson", "spikes"] = Field(
        "poisson",
        description="poisson: images become Poisson spikes; spikes: the data are events; for lif",
    )
    timesteps: int = Field(16, ge=1, le=1 << 12, description="T, steps per image; for lif")
    leak: Unit = Field(
        0.99, description="λ, share of the membrane that is kept from step to step; for lif"
    )
    threshold: float = Field(
        1.0, gt=0, description="θ, a neuron fires when its membrane is above it; for lif"
    )
    normalise: bool = Field(True, description="batch normalisation through time (BNTT); for lif")


TrainingPrecision = Literal["auto", "bfloat16", "float32"]


class TrainingSection(Section):
    """Backpropagation; of spiking networks, through time."""

    epochs: int = Field(20, ge=1, le=1 << 20, description="passes over the training part")
    batch_size: int = Field(32, ge=2, le=1 << 14, description="images per step and process")
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="the paper uses sgd")
    learning_rate: float = Field(2e-3, gt=0, description="largest learning rate of the schedule")
    momentum: Unit = Field(0.9, description="momentum of sgd")
    weight_decay: float = Field(
        5e-4, ge=0, description="weight decay: an L2 penalty for sgd, decoupled for adamw"
    )
    gain_decay: float | None = Field(
        None,
        ge=0,
        description=(
            "weight decay of BNTT's gains, one per channel and step; weight_decay if not given"
        ),
    )
    schedule: Literal["step", "one-cycle"] = Field(
        "one-cycle",
        description="step: divide the rate by 10 after 50, 70 and 90 %, rounded to epochs: three "
        "steps need 6; one-cycle: raise it, then lower it; β1 of adamw goes from 0.95 to 0.85 and "
        "back",
    )
    flip: bool = Field(True, description="mirror training images at random")
    shift: int = Field(
        4,
        ge=0,
        le=LARGEST_SIDE,
        description="move training images by up to so many pixels, edges repeated",
    )
    crop: float = Field(
        1.0, gt=0, le=1, description="smallest share of the area that a random zoom keeps"
    )
    keep_object: bool = Field(
        False, description="never let a zoom cut the object off, where its box is known"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the features dropped in front of dense layers"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="label smoothing of the cross-entropy"
    )
    clip: float = Field(1.0, ge=0, description="largest norm of the gradient; 0 for no limit")
    selection: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="share of the training images that the best epoch is chosen on; "
        "cluttered-, contrast-, saccade-digits and chirps have others for it",
    )
    precision: TrainingPrecision = Field(
        "auto",
        description=(
            "type of the convolutions; auto: on a CPU with instructions for bfloat16 the faster "
            "one, measured when the training begins, which config.toml in its folder names; on "
            "others float32; on a GPU "
            "bfloat16 if it has instructions for it"
        ),
    )
    fused: bool = Field(
        True,
        description="on a CPU, compute BNTT and neurons in one operation and, in float32, add "
        "weights of spikes where "
        "few fire: faster, with the same results but for rounding; for lif",
    )
    workers: int = Field(0, ge=0, le=128, description="processes that load data")
    seed: int = Field(
        0, ge=0, lt=1 << 32, description="seed of weights, order, augmentation and Poisson spikes"
    )
    start: Path | None = Field(
        None,
        description=(
            "begin with the weights of another training, epochs/best.ckpt; its images may "
            "have another size"
        ),
    )


SectionT = TypeVar("SectionT", bound=Section)
ConversionRule = Literal["ftbc", "max", "percentile", "scaled", "balanced"]
ALL = "all"


def _rules(choice: Any) -> Any:
    """The names of rules as one text, with commas; refuses those that are none."""
    several_rules, rule_names = isinstance(choice, (tuple, list)), get_args(ConversionRule)
    text = ",".join(map(str, choice)) if several_rules else str(choice)
    if text != ALL and not set(text.split(",")) <= set(rule_names):
        expected = f"{', '.join(map(repr, rule_names))}, several of them with commas, or {ALL!r}"
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        )
    return text


class ConversionSection(Section):
    """ANN-to-SNN conversion."""

    ann: str = Field(
        "cluttered-digits-ann",
        description="a bundled ANN's name, or a file that spikesam train made",
    )
    timesteps: int = Field(500, ge=1, le=LONGEST, description="T, steps per image")
    rule: Annotated[str, BeforeValidator(_rules)] = Field(
        "max",
        description="a layer's threshold: its largest input current (max, the paper's rule), a "
        "percentile, the largest times a scale (scaled), what local threshold balancing gives "
        "(balanced), or that of the least error "
        "after so many steps, with biases that are corrected step by step (ftbc: forward temporal "
        "bias correction), the most accurate after few steps. all, or several with commas, "
        "compares them; the first "
        "one converts",
    )
    percentile: float = Field(
        99.9,
        gt=0,
        le=100,
        description="of the positive input currents; for rules percentile and, at most, ftbc",
    )
    per: Literal["layer", "channel"] = Field(
        "channel",
        description="one threshold for each layer or channel; balanced: channel; "
        "max, percentile and scaled, of chains without biases: layer",
    )
    initial: float = Field(
        0.5,
        ge=0,
        le=1,
        description="membrane to begin with, in thresholds, but for chains by the paper's rules",
    )
    spikes: int = Field(
        1, ge=1, le=16, description="spikes of a neuron in a step, at most; channels become so many"
    )
    scale: float = Field(
        0.8, gt=0, le=1, description="share of the largest input current; for rule scaled"
    )
    encoder: Literal["poisson", "constant-current"] = Field(
        "poisson",
        description="the network's input: Poisson spikes, or the image itself at every step",
    )
    calibration: int = Field(
        64, ge=2, le=1 << 20, description="how many training images the thresholds are measured on"
    )
    seed: int = Field(
        0,
        ge=0,
        lt=1 << 63,
        description="seed of the choice of these images, and of their Poisson spikes",
    )

    @property
    def by_rule(self) -> dict[str, ConversionSection]:
        """These settings with each of the rules alone."""
        names = get_args(ConversionRule) if self.rule == ALL else self.rule.split(",")
        return {name: self.model_copy(update={"rule": name}) for name in names}

    @property
    def first(self) -> ConversionSection:
        """These settings with the first rule alone."""
        return next(iter(self.by_rule.values()))


def _with_backend_options(section: type[SectionT]) -> type[SectionT]:
    """A section, and the options that backends have: those of lava are lava_models and others."""
    fields = dict[str, Any]()
    for name, make in BACKENDS.built_in.items():
        fields |= {
            f"{name}_{option}": option_field(has) for option, has in options_of(make).items()
        }
    return create_model(
        section.__name__, __base__=section, __module__=__name__, __doc__=section.__doc__, **fields
    )


@_with_backend_options
class RunSection(Section):
    """Simulation, recording and explanation."""

    checkpoint: CheckpointName = "cluttered-digits"
    data: Data = None
    download: Download = False
    backend: BackendName = "auto"
    samples: SampleCount = 8
    seed: Seed = 0
    precision: Literal["fixed", "float32"] = Field(
        "fixed", description="fixed: integers, equal bits on every backend"
    )
    device: Device = "auto"
    batch_size: int = Field(
        8,
        ge=1,
        le=16,
        description=(
            "how many images are encoded together; torch simulates at most so many at a time"
        ),
    )
    gamma: float = Field(GAMMA, ge=0, description="γ, decay of the map's kernel per step")
    steps: KeptSteps = "pictured"
    layers: tuple[str, ...] = Field(
        (),
        description=(
            "layers to record and explain, by name or number, and always the last; all if not given"
        ),
    )
    keep: Literal["all", "maps"] = Field(
        "all",
        description=(
            "all: spikes and maps; maps: keep only maps; spikes are discarded after each range"
        ),
    )
    variant: Literal["auto", "paper", "fixed"] = Field(
        "auto",
        description="SAM's kernel. paper: in real numbers; fixed: in integers, the bits that "
        "Lava's graph gives; auto: fixed on lava with --keep maps, else paper",
    )
    outputs: Literal["classes", "values"] = Field(
        "classes",
        description=(
            "classes: the highest output is the answer; values: outputs are numbers, as one output "
            "always is"
        ),
    )
    figures: int = Field(4, ge=0, description="how many samples to make pictures of")
    report: bool = Field(
        True, description="write report.html, a page to explore the run in; needs --keep all"
    )

    @property
    def backend_options(self) -> dict[str, Any]:
        """Those of the backend that is chosen, by the names that it has for them."""
        named = (
            options_of(BACKENDS.built_in[self.backend]) if self.backend in BACKENDS.built_in else ()
        )
        return {name: getattr(self, f"{self.backend}_{name}") for name in named}

    def refuse_foreign_options(self, run_before: RunSection) -> None:
        """Refuse options that changed from `run_before` and belong to a backend other than the one
        that is chosen.
        """
        for backend, make in BACKENDS.built_in.items():
            for name in options_of(make) if backend != self.backend else ():
                if getattr(self, f"{backend}_{name}") != getattr(run_before, f"{backend}_{name}"):
                    belongs = (
                        f"--{backend}-{name.replace('_', '-')}: belongs to --backend {backend}"
                    )
                    raise InputError(f"{belongs}, got --backend {self.backend}")


class Config(Section):
    """Everything; `train` uses data, network and training, `convert` conversion and data, `run`
    uses run.
    """

    data: DataSection = DataSection()
    network: NetworkSection = NetworkSection()
    training: TrainingSection = TrainingSection()
    conversion: ConversionSection = ConversionSection()
    run: RunSection = RunSection()


def load_config(path: Path | None = None) -> Config:
    """Read a TOML file, or a bundled one by its name, such as "cluttered_digits"; None reads the
    embedded default.
    """
    path = path or DEFAULT_CONFIG
    if not path.suffix and (path.is_dir() or not path.exists()):
        bundled = {file.stem: file for file in sorted(CONFIGS.glob("*.toml"))}
        if str(path) not in bundled:
            raise InputError(
                f"{path}: neither a file nor a bundled configuration ({', '.join(bundled)})"
            )
        path = bundled[str(path)]
    values = read_toml(path)
    with at(path):
        return validated(Config, values)


def read_config(config: Config | Mapping[str, Any] | str | PathLike[str] | None) -> Config:
    """A configuration as it is, its tables as a dictionary, or read from a TOML file; None is the
    embedded default.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        with at("config"):
            return validated(Config, dict(config))
    if config is not None and not isinstance(config, (str, PathLike)):
        raise InputError(
            f"config: got {type(config).__name__}, expected a dictionary, or the path of a TOML "
            "file"
        )
    return load_config(None if config is None else Path(config))


def resolved(config: Config) -> dict[str, Any]:
    """Every setting of the sections that were given; a checkpoint, not a default, stands for those
    that were not.
    """
    return config.model_dump(mode="json", include=config.model_fields_set, exclude_none=True)


def save_config(config: Config, path: Path) -> None:
    """Write the resolved configuration as TOML; it reads back equal."""
    write_file(path, tomli_w.dumps(resolved(config)).encode())
