"""Train as configured: what is put together, where it resumes, and the network that it ends with."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console

from spikesam.pipeline.config import Config, save_config
from spikesam.pipeline.networks.allocator import keep_freed_memory
from spikesam.pipeline.networks.checkpoint import Checkpoint, save_checkpoint
from spikesam.pipeline.networks.defaults import usual_defaults
from spikesam.pipeline.training.epoch_log import EpochLog
from spikesam.pipeline.training.epochs import EpochFiles, Epochs, epoch_to_resume, settings_of, start_from
from spikesam.pipeline.training.export import export_network
from spikesam.pipeline.training.fused import compile_bntt_lif
from spikesam.pipeline.training.images import images_sha256, loaders, open_split
from spikesam.pipeline.training.inputs import Inputs, training_inputs
from spikesam.pipeline.training.module import TrainingModule
from spikesam.pipeline.training.precision import convolution_type
from spikesam.pipeline.training.relu_network import ReluNetwork
from spikesam.pipeline.training.spiking_network import SpikingNetwork
from spikesam.recordings.child import isolated_spawning
from spikesam.recordings.errors import InputError
from spikesam.recordings.progress import progress_bar


@usual_defaults()
def train_checkpoint(
    config: Config, out: Path, resume: bool, console: Console, callbacks: Sequence[lightning.Callback] = ()
) -> Checkpoint:
    """Train as configured, into `out`; the network of the epoch that did best on the selection split counts."""
    settings, dtype = config.training, convolution_type(config.training.precision)
    last, epoch = epoch_to_resume(config, out, console) if resume else (None, None)
    inputs = training_inputs(config)
    _quiet_lightning()
    if not torch.cuda.is_available():
        keep_freed_memory()
    lightning.seed_everything(settings.seed, verbose=False)
    dataset = open_split(config, "train")
    model = build_model(config, inputs, len(dataset.classes)).to(memory_format=torch.channels_last)
    if settings.start is not None and not resume:
        start_from(model, settings.start)
    module = TrainingModule(model, settings, inputs)
    fitting, selecting = loaders(config, inputs, console)
    images = images_sha256(fitting, selecting)
    if epoch is not None and epoch["images"] != images:
        raise InputError(
            f"{last}: the training had other images than there are now; resume with those, or remove "
            f"{out / 'epochs'} and train from the start"
        )
    epochs = Epochs(out / "epochs", settings_of(config), images, model)
    save_config(config, out / "config.toml")
    trainer = lightning.Trainer(
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision="bf16-mixed" if dtype == torch.bfloat16 else "32-true",
        max_epochs=settings.epochs,
        gradient_clip_val=settings.clip or None,
        logger=TensorBoardLogger(out, name=None, version="tensorboard"),
        callbacks=[EpochLog(console, out / "metrics.csv"), epochs, *callbacks],
        plugins=[EpochFiles(epoch)],
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
    )
    fused = settings.fused and config.network.normalise and isinstance(model, SpikingNetwork)
    if fused and not torch.cuda.is_available():
        with progress_bar(console, transient=True) as progress:
            progress.add_task("compiling the fused operation (ten seconds, the first time only)", total=None)
            compile_bntt_lif(dtype)
    try:
        with isolated_spawning():  # of the processes that load data, on Pythons that do not fork them
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
        raise InputError(f"{last}: training cannot go on from it ({type(error).__name__})") from error
    if math.isinf(epochs.accuracy):
        raise InputError(f"{out}: no epoch was finished", "train-again")
    checkpoint = Checkpoint(export_network(epochs.best), inputs.preparation, dataset.classes, dataset.class_names)
    save_checkpoint(checkpoint, out / "checkpoint.safetensors")
    return checkpoint


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
