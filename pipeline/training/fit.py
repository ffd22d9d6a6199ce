"""Training from Python: what is put together, where it resumes, one step of it, and the network
that it ends with.
"""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from spikesam.backends.network import Network
from spikesam.common.arguments import checked_arguments
from spikesam.common.child import isolated_spawning
from spikesam.common.console import PlainConsole
from spikesam.common.errors import InputError, at
from spikesam.common.files import refuse_links
from spikesam.common.lock import out_lock
from spikesam.common.progress import progress_bar
from spikesam.pipeline.config import (
    Config,
    TrainingSection,
    read_config,
    save_config,
)
from spikesam.pipeline.networks.checkpoint import Checkpoint, save
from spikesam.pipeline.networks.defaults import keep_freed_memory, usual_defaults
from spikesam.pipeline.training._epochs import (
    PRECISION,
    EpochFiles,
    EpochLog,
    Epochs,
    epoch_to_resume,
    finished_epochs,
    settings_of,
    start_from,
)
from spikesam.pipeline.training.inputs import (
    Inputs,
    images_sha256,
    loaders,
    open_split,
    training_inputs,
)
from spikesam.pipeline.training.precision import TYPES, choose_precision, seconds_of_a_step
from spikesam.pipeline.training.trainable import (
    ReluNetwork,
    SpikingNetwork,
    compile_operations,
    export_network,
)

NAMES = (
    "epochs",
    "epochs/last.ckpt",
    "epochs/best.ckpt",
    "tensorboard",
)  # in the folder of a training


@checked_arguments
def train(
    config: Config | Mapping[str, Any] | str | PathLike[str] | None = None,
    out: str | PathLike[str] = "runs/train",
    *,
    resume: bool = False,
    console: Console | None = None,
    callbacks: Sequence[lightning.Callback] = (),
) -> Checkpoint:
    """Train a spiking network with surrogate gradients, or its ANN twin, into
    `out/checkpoint.safetensors`.

    Backpropagation through time; the network of the epoch that did best on the selection images
    counts. Beside the checkpoint, `out` receives `config.toml`, `epochs/*.ckpt`, `metrics.csv` and
    TensorBoard events.

    Parameters
    ----------
    config : a TOML file as those in `configs/`, or its tables as a dictionary: `data`, `network`
        and `training` count. If not given, `configs/default.toml`. An ANN is trained with
        `network.neuron = "relu"`
    out : folder, made if missing
    resume : continue after the last finished epoch in `out`, as if the training had never stopped.
        One that was finished there, with the same settings and images, is returned without it; if
        it has fewer epochs, it goes on
    console : where a line for each epoch and a bar appear; standard error if not given
    callbacks : of Lightning, called during the training, such as
        :class:`spikesam.MonitorCallback`; what they change is not noted in `config.toml`

    Returns
    -------
    the checkpoint that was written

    Raises
    ------
    InputError : if the data do not fit, `out` holds an unfinished training, or one that had other
        settings or images, its epochs are damaged, or the loss is no longer finite

    Examples
    --------
    >>> import spikesam
    >>> small = {
    ...     "data": {"height": 16, "width": 16, "train_scenes": 64},
    ...     "network": {"layers": [4, "P4", "D8"], "timesteps": 6},
    ...     "training": {"epochs": 1},
    ... }
    >>> checkpoint = spikesam.train(small, "small")
    >>> checkpoint.network.shapes
    ((6, 16, 16), (4, 16, 16), (8, 1, 1))
    """
    settings, folder = read_config(config), Path(out)
    refuse_links(folder, NAMES)
    finished = finished_epochs(folder)
    if resume and not finished:
        raise InputError(
            f"{folder / 'epochs' / 'last.ckpt'}: no finished epoch to resume from",
            "; start without {resume=True}",
        )
    if not resume and bool(finished) != (folder / "checkpoint.safetensors").exists():
        raise InputError(
            f"{folder}: holds a training already", "; add {resume=True}, or choose another {out}"
        )
    with out_lock(folder), _without_empty_caches():
        return train_checkpoint(
            settings, folder, bool(finished), console or PlainConsole(stderr=True), callbacks
        )


@contextmanager
def _without_empty_caches() -> Iterator[None]:
    """Remove the folder that torch makes for what it compiles where nothing was compiled: no
    optimiser here is.
    """
    try:
        yield
    finally:
        for path in Path(tempfile.gettempdir()).glob("torchinductor_*"):
            with suppress(OSError):  # one that holds something, or is another user's
                path.rmdir()


@usual_defaults()
def train_checkpoint(
    config: Config,
    out: Path,
    resume: bool,
    console: Console,
    callbacks: Sequence[lightning.Callback] = (),
) -> Checkpoint:
    """Train as configured, into `out`; the network of the epoch that did best on the selection
    split counts.
    """
    settings = config.training
    last, epoch = epoch_to_resume(config, out, console) if resume else (None, None)
    inputs = training_inputs(config)
    _quiet_lightning()
    if not torch.cuda.is_available():
        keep_freed_memory()
    lightning.seed_everything(settings.seed, verbose=False)
    dataset = open_split(config, "train")
    model = build_model(config, inputs, len(dataset.classes)).to(memory_format=torch.channels_last)
    if settings.start is not None and not resume:
        with at("training.start"):
            start_from(model, settings.start)
    module = TrainingModule(model, settings, inputs)
    fitting, selecting = loaders(config, inputs, console)
    images = images_sha256(fitting, selecting)
    if epoch is not None and epoch["images"] != images:
        raise InputError(
            f"{last}: the training had other images than there are now; resume with those, or "
            f"remove {out / 'epochs'} and train from the start"
        )
    fused = settings.fused and config.network.normalise and isinstance(model, SpikingNetwork)
    compiled = fused and not torch.cuda.is_available()

    def seconds() -> dict[str, float]:
        if compiled:
            _compile_operations(TYPES, console)
        return seconds_of_a_step(model, partial(_first_batch, fitting, inputs, settings.batch_size))

    precision, reason = settings.precision, ""
    if epoch is not None:  # resumed in the type that the training began with
        precision = epoch["settings"][PRECISION]
    elif precision == "auto":
        precision, reason = choose_precision(seconds)
        console.print(f"{PRECISION}: {precision}; {reason}", soft_wrap=True)
    config = config.model_copy(
        update={"training": settings.model_copy(update={"precision": precision})}
    )
    epochs = Epochs(out / "epochs", settings_of(config), images, model)
    save_config(config, out / "config.toml")
    logger = TensorBoardLogger(out, name=None, version="tensorboard")
    if reason:
        logger.experiment.add_text(PRECISION, f"{precision}; {reason}")
    trainer = lightning.Trainer(
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision="bf16-mixed" if precision == "bfloat16" else "32-true",
        max_epochs=settings.epochs,
        gradient_clip_val=settings.clip or None,
        logger=logger,
        callbacks=[EpochLog(console, out / "metrics.csv"), epochs, *callbacks],
        plugins=[EpochFiles(epoch)],
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
    )
    if compiled:
        _compile_operations([precision], console)
    try:
        with (
            isolated_spawning()
        ):  # of the processes that load data, on Pythons that do not fork them
            trainer.fit(module, fitting, selecting, ckpt_path=last)
    except SystemExit:
        if trainer.interrupted:  # Lightning makes exit code 1 of Ctrl-C
            raise KeyboardInterrupt from None
        raise
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:
        if last is None or epochs.goes_on:
            raise
        raise InputError(
            f"{last}: training cannot go on from it ({type(error).__name__})"
        ) from error
    if math.isinf(epochs.accuracy):
        raise InputError(
            f"{out}: no epoch was finished",
            "; run again, with {resume=True} if epochs/last.ckpt exists",
        )
    checkpoint = Checkpoint(
        export_network(epochs.best), inputs.preparation, dataset.classes, dataset.class_names
    )
    save(checkpoint, out / "checkpoint.safetensors")
    return checkpoint


def _compile_operations(precisions: Iterable[str], console: Console) -> None:
    """Compile what fused training calls with these types, behind a line on the console."""
    with progress_bar(console, transient=True) as progress:
        progress.add_task(
            "compiling the fused operation (fifteen seconds, the first time only)", total=None
        )
        for precision in precisions:
            compile_operations(TYPES[precision])


def _first_batch(fitting: DataLoader[Any], inputs: Inputs, size: int) -> tuple[Tensor, Tensor]:
    """Input and labels of the first images of the training, in no random order."""
    images, labels, boxes = cast(TensorDataset, fitting.dataset)[:size]
    return inputs.varied(images, boxes), labels


def _quiet_lightning() -> None:
    """Silence Lightning's tips and hints, which are not about this project; real trouble raises."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch"):
        warnings.filterwarnings("ignore", module=module)


def build_model(config: Config, inputs: Inputs, classes: int) -> SpikingNetwork | ReluNetwork:
    """The untrained network that is configured, for so many classes."""
    network, settings = config.network, config.training
    if network.neuron == "relu":
        return ReluNetwork(network.layers, inputs.shape, classes, settings.dropout)
    return SpikingNetwork(network, inputs.shape, classes, settings.dropout, settings.fused)


def network_of_epoch(config: Config, path: Path) -> Network:
    """The network of an epoch that a training kept, such as `epochs/last.ckpt` in its folder.

    Parameters
    ----------
    config : settings of that training
    path : file of the epoch

    Raises
    ------
    InputError : if the file is damaged, or of a training with other layers, steps or classes
    """
    inputs = training_inputs(config)
    model = build_model(config, inputs, len(open_split(config, "train").classes))
    start_from(model, path)
    return export_network(model.eval())


STEP_MILESTONES = (0.5, 0.7, 0.9)  # of the epochs, where "step" divides the learning rate by ten
SELECTION_SEED = 1_000_003  # of the Poisson spikes that the selection accuracy is measured with


def step_milestones(epochs: int) -> list[int]:
    """Epochs after which "step" divides the rate by ten; of fewer than six, two are equal or one is
    the last.
    """
    return [max(1, round(share * epochs)) for share in STEP_MILESTONES]


class TrainingModule(lightning.LightningModule):
    """Loss, selection accuracy and optimizer of either trainable network, for Lightning."""

    def __init__(
        self, model: SpikingNetwork | ReluNetwork, settings: TrainingSection, inputs: Inputs
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.inputs = inputs

    def on_train_epoch_start(self) -> None:
        """Seed everything random of the epoch by its number."""
        torch.manual_seed((self.settings.seed * 100_003 + self.current_epoch) * 1009)
        if (
            self.current_epoch > 0
        ):  # a number that loaders without a generator of their own drew here, unless resumed
            torch.empty((), dtype=torch.int64).random_()

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        """The loss of one batch."""
        images, labels, boxes = batch
        logits = self.model(self.inputs.varied(images, boxes))
        loss = functional.cross_entropy(
            logits.float(), labels, label_smoothing=self.settings.label_smoothing
        )
        if not torch.isfinite(loss):
            raise InputError(
                f"training: the loss is {float(loss)} in epoch {self.current_epoch + 1}, step "
                f"{number + 1}; lower training.learning_rate, or check the data for extreme values"
            )
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], number: int) -> None:
        """Loss and accuracy of one batch of the selection split."""
        images, labels, _ = batch
        generator = torch.Generator(self.device).manual_seed(SELECTION_SEED + number)
        logits = self.model(self.inputs.plain(images, generator))
        loss = functional.cross_entropy(logits.float(), labels)
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict(
            {"selection_loss": loss, "selection_accuracy": accuracy}, batch_size=len(labels)
        )

    def configure_optimizers(self) -> Any:
        """The optimizer and the schedule of its learning rate."""
        settings = self.settings
        rate = settings.learning_rate
        optimizer: torch.optim.Optimizer
        if settings.optimizer == "sgd":
            optimizer = torch.optim.SGD(self._groups(), rate, settings.momentum)
        else:
            optimizer = torch.optim.AdamW(self._groups(), rate)
        if settings.schedule == "step":
            return [optimizer], [
                torch.optim.lr_scheduler.MultiStepLR(optimizer, step_milestones(settings.epochs))
            ]
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            rate,
            total_steps=steps,
            pct_start=0.2,
            cycle_momentum=settings.optimizer != "sgd",
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def _groups(self) -> list[dict[str, Any]]:
        """Synapses, and BNTT's gains where they decay at a rate of their own."""
        decay, gain_decay = self.settings.weight_decay, self.settings.gain_decay
        if gain_decay is None:
            return [{"params": list(self.parameters()), "weight_decay": decay}]
        gains = [parameter for name, parameter in self.named_parameters() if ".bntt." in name]
        synapses = [
            parameter for name, parameter in self.named_parameters() if ".bntt." not in name
        ]
        return [
            {"params": synapses, "weight_decay": decay},
            {"params": gains, "weight_decay": gain_decay},
        ]
