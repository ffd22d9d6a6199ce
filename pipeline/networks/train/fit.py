"""Train as configured: what is put together, where it resumes, and the network that it ends with."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from rich.console import Console

from pipeline.config import Config, save_config
from pipeline.networks.allocator import keep_freed_memory
from pipeline.networks.checkpoint import Checkpoint, save_checkpoint
from pipeline.networks.train.export import export_network
from pipeline.networks.train.fused import compile_bntt_lif
from pipeline.networks.train.relu_network import ReluNetwork
from pipeline.networks.train.spiking_network import SpikingNetwork
from recordings.child import isolated_spawning
from recordings.disk import write_file
from recordings.errors import InputError
from recordings.progress import progress_bar

from .environment import end_together, process_rank, quiet_lightning
from .epoch_log import EpochLog
from .images import loaders, open_split
from .inputs import Inputs, training_inputs
from .module import TrainingModule
from .precision import convolution_type
from .start import check_resumable, start_from


def train_checkpoint(config: Config, out: Path, resume: bool, console: Console) -> Checkpoint:
    """Train as configured; the network of the epoch that did best on the selection split counts.

    The first process writes `checkpoint.safetensors`, `config.toml`, `epochs/*.ckpt` (the best and the last),
    `metrics.csv` and TensorBoard events into `out`, but nothing before data and network have proved fit. With `resume`,
    training goes on after the last finished epoch as if it had never stopped: everything random is seeded by epoch.

    Raises
    ------
    InputError : if the data do not fit, the training to resume had other settings, or the loss is no longer finite
    KeyboardInterrupt : if the user stops it
    """
    settings, dtype = config.training, convolution_type(config.training.precision)
    end_together()
    if resume:
        check_resumable(config, out / "config.toml")
    inputs = training_inputs(config)
    quiet_lightning()
    if not torch.cuda.is_available():
        keep_freed_memory()
    lightning.seed_everything(settings.seed, verbose=False)
    dataset = open_split(config, "train")
    model = _build(config, inputs, len(dataset.classes)).to(memory_format=torch.channels_last)
    if settings.start is not None and not resume:
        start_from(model, settings.start)
    module = TrainingModule(model, settings, inputs)
    fitting, selecting = loaders(config, inputs, console)
    best = ModelCheckpoint(
        out / "epochs", "best", monitor="selection_accuracy", mode="max", enable_version_counter=False
    )
    latest = ModelCheckpoint(out / "epochs", "last", enable_version_counter=False)  # save_last skips epochs not best
    if process_rank() == 0:
        save_config(config, out / "config.toml")
    trainer = lightning.Trainer(
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=settings.processes,
        strategy="ddp_find_unused_parameters_true" if settings.processes > 1 else "auto",
        precision="bf16-mixed" if dtype == torch.bfloat16 else "32-true",
        max_epochs=settings.epochs,
        gradient_clip_val=settings.clip or None,
        logger=TensorBoardLogger(out, name=None, version="tensorboard"),
        callbacks=[best, latest, EpochLog(console, out / "metrics.csv")],
        plugins=[_WholeCheckpoints()],
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
    last = out / "epochs" / "last.ckpt" if resume else None
    try:
        with isolated_spawning():  # of the processes that load data, on Pythons that do not fork them
            trainer.fit(module, fitting, selecting, ckpt_path=last, weights_only=True)
    except SystemExit:
        if trainer.interrupted:  # Lightning makes exit code 1 of Ctrl-C
            raise KeyboardInterrupt from None
        raise
    if not Path(best.best_model_path).is_file():
        raise InputError(f"{out}: no epoch was finished", "train-again")
    module.load_state_dict(torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"])
    network = export_network(model.cpu().eval())
    checkpoint = Checkpoint(network, inputs.preparation, dataset.classes, dataset.class_names)
    if process_rank() == 0:
        save_checkpoint(checkpoint, out / "checkpoint.safetensors")
    return checkpoint


def _build(config: Config, inputs: Inputs, classes: int) -> SpikingNetwork | ReluNetwork:
    network, settings = config.network, config.training
    if network.neuron == "relu":
        return ReluNetwork(network.layers, inputs.shape, classes, settings.dropout)
    return SpikingNetwork(network, inputs.shape, classes, settings.dropout, settings.fused)


class _WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all.

    Lightning writes to the system's folder for temporary files and moves from there, which copies where that is
    another disk: killed meanwhile, a training could not be resumed.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one."""
        content = BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_file(Path(path), content.getvalue())
