"""Training with Lightning: images in memory, augmentation, schedule, checkpoints, exact resume."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from pipeline.cli.progress import progress_bar
from pipeline.config import Config, TrainingSection, save_config
from pipeline.images.datasets import Dataset, open_dataset
from pipeline.images.preprocessing import Preprocessing
from pipeline.images.selection import split_selection
from pipeline.networks.ann import ReluNetwork
from pipeline.networks.architecture import SpikingNetwork, poisson
from pipeline.networks.checkpoint import Checkpoint, save_checkpoint
from pipeline.networks.folding import export_network
from pipeline.networks.fused import compile_bntt_lif
from recordings.disk import write_file
from recordings.errors import InputError

STEP_MILESTONES = (0.5, 0.7, 0.9)  # of the epochs, where "step" divides the learning rate by ten
METRICS = {  # column of metrics.csv -> what Lightning calls it here
    "training_loss": "loss",
    "training_accuracy": "accuracy",
    "selection_loss": "selection_loss",
    "selection_accuracy": "selection_accuracy",
}
SELECTION_SEED = 1_000_003  # of the Poisson spikes that the selection accuracy is measured with


def train_checkpoint(config: Config, out: Path, resume: bool, console: Console) -> Path:
    """Train as :func:`train` does, and write the network as `out/checkpoint.safetensors`; returns that path."""
    model = train(config, out, resume, console)
    data = config.data
    dataset = _open(config, "train")
    preprocessing = Preprocessing(data.height, data.width, data.mean, data.std)
    path = out / "checkpoint.safetensors"
    network = export_network(model)
    save_checkpoint(Checkpoint(network, preprocessing, dataset.classes, dataset.class_names), path)
    return path


def train(config: Config, out: Path, resume: bool, console: Console) -> SpikingNetwork | ReluNetwork:
    """Train as configured and return the network of the epoch that did best on the selection split.

    `out` receives `config.toml`, `epochs/*.ckpt` (the best and the last), `metrics.csv` and TensorBoard events, but
    nothing before data and network have proved fit. With `resume`, training goes on after the last finished epoch as if
    it had never stopped: everything random is seeded by epoch.

    Raises
    ------
    InputError : if the data do not fit, or the loss is no longer finite
    KeyboardInterrupt : if the user stops it
    """
    settings = config.training
    preprocessing = Preprocessing(config.data.height, config.data.width, config.data.mean, config.data.std)
    _quiet_lightning()
    if not torch.cuda.is_available():
        _keep_freed_memory()
    lightning.seed_everything(settings.seed, verbose=False)
    classes = _open(config, "train").classes
    model = _build(config, len(classes)).to(memory_format=torch.channels_last)
    module = _Training(model, settings, preprocessing)
    fitting, selecting = _loaders(config, preprocessing, console)
    best = ModelCheckpoint(
        out / "epochs", "best", monitor="selection_accuracy", mode="max", save_last=True, enable_version_counter=False
    )
    if process_rank() == 0:
        save_config(config, out / "config.toml")
    trainer = lightning.Trainer(
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=settings.processes,
        strategy="ddp_find_unused_parameters_true" if settings.processes > 1 else "auto",
        precision="bf16-mixed" if settings.bfloat16 else "32-true",
        max_epochs=settings.epochs,
        gradient_clip_val=settings.clip or None,
        logger=TensorBoardLogger(out, name=None, version="tensorboard"),
        callbacks=[best, _Report(console, out / "metrics.csv")],
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
            compile_bntt_lif(torch.bfloat16 if settings.bfloat16 else torch.float32)
    last = out / "epochs" / "last.ckpt" if resume else None
    try:
        trainer.fit(module, fitting, selecting, ckpt_path=last, weights_only=True)
    except SystemExit:
        if trainer.interrupted:  # Lightning makes exit code 1 of Ctrl-C
            raise KeyboardInterrupt from None
        raise
    if not Path(best.best_model_path).is_file():
        raise InputError(f"{out}: no epoch was finished; run again, with --resume if epochs/last.ckpt exists")
    module.load_state_dict(torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"])
    return model.cpu().eval()


def _build(config: Config, classes: int) -> SpikingNetwork | ReluNetwork:
    network, settings = config.network, config.training
    shape = (3, config.data.height, config.data.width)
    if network.neuron == "relu":
        return ReluNetwork(network.layers, *shape, classes, settings.dropout)
    return SpikingNetwork(network, *shape, classes, settings.dropout, settings.fused)


class _Training(lightning.LightningModule):
    def __init__(
        self, model: SpikingNetwork | ReluNetwork, settings: TrainingSection, preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.preprocessing = preprocessing

    def on_train_epoch_start(self) -> None:
        torch.manual_seed((self.settings.seed * 100_003 + self.current_epoch) * 1009 + self.global_rank)
        if self.current_epoch > 0:  # a number that loaders without a generator of their own drew here, unless resumed
            torch.empty((), dtype=torch.int64).random_()

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        images, labels, boxes = batch
        logits = self._answer(augment(self._normalise(images), boxes, self.settings))
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.settings.label_smoothing)
        if not torch.isfinite(loss):
            raise InputError(
                f"training: the loss is {float(loss)} in epoch {self.current_epoch + 1}, step {number + 1}; "
                "lower training.learning_rate, or check the data for extreme values"
            )
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch: list[Tensor], number: int) -> None:
        images, labels, _ = batch
        generator = torch.Generator(self.device).manual_seed(SELECTION_SEED + number)
        logits = self._answer(self._normalise(images), generator)
        loss = functional.cross_entropy(logits.float(), labels)
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict({"selection_loss": loss, "selection_accuracy": accuracy}, sync_dist=True, batch_size=len(labels))

    def configure_optimizers(self) -> Any:
        settings = self.settings
        rate, decay = settings.learning_rate, settings.weight_decay
        optimizer: torch.optim.Optimizer
        if settings.optimizer == "sgd":
            optimizer = torch.optim.SGD(self.parameters(), rate, settings.momentum, weight_decay=decay)
        else:
            optimizer = torch.optim.AdamW(self.parameters(), rate, weight_decay=decay)
        if settings.schedule == "step":
            milestones = [round(share * settings.epochs) for share in STEP_MILESTONES]
            return [optimizer], [torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)]
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def _answer(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if isinstance(self.model, ReluNetwork):
            return self.model(images)
        return self.model(poisson(images, self.model.timesteps, generator))

    def _normalise(self, images: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(values, device=images.device).view(3, 1, 1)
            for values in (self.preprocessing.mean, self.preprocessing.std)
        )
        return (images.float() / 255 - mean) / std


def augment(images: Tensor, boxes: Tensor, settings: TrainingSection) -> Tensor:
    """Zoom in, move and mirror each image at random, edges repeated.

    With `settings.keep_object`, the window that a zoom keeps holds the whole object, where its box is known: small
    objects anywhere in a scene are hard to begin to learn, large ones are not, and every size comes in every epoch.

    Parameters
    ----------
    images : (B, C, H, W)
    boxes : (B, 4) x0, y0, x1, y1 in pixels; NaN where unknown

    Returns
    -------
    (B, C, H, W)
    """
    batch, _, height, width = images.shape
    size = torch.tensor([width, height], device=images.device)
    random = torch.rand(4, batch, 1, device=images.device)
    zoom = torch.sqrt(1 - (1 - settings.crop) * random[0])  # side of the window, as a share of the image's
    low, high = torch.zeros_like(boxes[:, :2]), 1 - zoom  # of the window's corner
    if settings.keep_object:
        known = torch.isfinite(boxes).all(1, keepdim=True)
        start, end = boxes[:, :2] / size, boxes[:, 2:] / size
        zoom = torch.where(known, zoom.maximum((end - start).amax(1, keepdim=True)), zoom)
        low = torch.where(known, (end - zoom).clamp(min=0), low)
        high = torch.where(known, start.minimum(1 - zoom), 1 - zoom)
    corner = low + (high - low) * torch.cat([random[1], random[2]], 1)
    move = 2 * corner + zoom - 1  # of the window's centre, in affine_grid's units: the image spans -1 … 1
    move = move + (4 * torch.rand_like(move) - 2) * settings.shift / size
    mirror = torch.where(random[3] < 0.5, -1.0, 1.0) if settings.flip else torch.ones_like(zoom)
    zero = torch.zeros_like(zoom)
    rows = [torch.cat([zoom * mirror, zero, move[:, :1]], 1), torch.cat([zero, zoom, move[:, 1:]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _open(config: Config, split: str) -> Dataset:
    data = config.data
    size = data.train_scenes if data.source == "cluttered-digits" and split == "train" else None
    return open_dataset(data.source, split, data.classes, size=size, download=data.download)


def _loaders(config: Config, preprocessing: Preprocessing, console: Console) -> tuple[DataLoader[Any], DataLoader[Any]]:
    settings = config.training
    training = _open(config, "train")
    if config.data.source == "cluttered-digits":
        selection = _open(config, "selection")
        kept, aside = np.arange(len(training)), np.arange(len(selection))
    else:
        selection = training
        kept, aside = split_selection(training.labels, settings.selection, settings.seed)
    if len(kept) < settings.batch_size * settings.processes:
        raise InputError(
            f"training.batch_size is {settings.batch_size} × {settings.processes} processes, but there are only "
            f"{len(kept)} training images"
        )
    fitting = _in_memory(training, kept, preprocessing, "training images", console)
    selecting = _in_memory(selection, aside, preprocessing, "selection images", console)

    def loader(images: TensorDataset, training: bool) -> DataLoader[Any]:
        sampler: DistributedSampler[Any] = DistributedSampler(
            images, settings.processes, process_rank(), shuffle=training, seed=settings.seed, drop_last=training
        )
        return DataLoader(
            images,
            settings.batch_size,
            sampler=sampler,
            num_workers=settings.workers,
            drop_last=training,
            generator=torch.Generator(),  # the global one is for what is seeded by epoch
        )

    return loader(fitting, True), loader(selecting, False)


def process_rank() -> int:
    """Number of this process among those of one training; Lightning starts all but the first and tells them theirs."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def _in_memory(
    dataset: Dataset, chosen: NDArray[np.int64], preprocessing: Preprocessing, what: str, console: Console
) -> TensorDataset:
    """Prepare every image once, as bytes."""
    images = np.empty((len(chosen), 3, preprocessing.height, preprocessing.width), np.uint8)
    labels = np.empty(len(chosen), np.int64)
    boxes = np.full((len(chosen), 4), np.nan, np.float32)
    with progress_bar(console) as progress:
        for place, position in enumerate(progress.track(chosen, description=f"preparing {what}")):
            item = dataset[int(position)]
            if item.label is None:
                raise InputError(f"{dataset.name}: {item.name} has no label; training needs class folders")
            images[place] = preprocessing.picture(item.image).transpose(2, 0, 1)
            labels[place] = item.label
            box = None if item.box is None else preprocessing.box(item.box, item.image.size)
            boxes[place] = np.nan if box is None else box
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(boxes))


def _quiet_lightning() -> None:
    """Its tips and hints are not about this project; real trouble raises."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("lightning", "torch"):
        warnings.filterwarnings("ignore", module=module)


def _keep_freed_memory() -> None:
    """Have glibc reuse freed memory; by default it returns large tensors to the system and faults them in again.

    Measured on two cores, six convolutions at 64×64: 100 -> 133 images/s. Elsewhere than on glibc nothing happens.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # of malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 1 << 28)


class _Report(lightning.Callback):
    """A bar over all steps with the time left, and per epoch a line on the console and one in `metrics.csv`."""

    def __init__(self, console: Console, path: Path) -> None:
        self.console = console
        self.path = path
        self.lines = [",".join(["epoch", *METRICS])]
        self.progress = progress_bar(console)
        self.advance: Callable[[], None] = lambda: None
        self.started = 0.0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if not trainer.is_global_zero:
            return
        earlier = self.path.read_text(encoding="utf-8").splitlines()[1:] if self.path.is_file() else []
        finished = {str(epoch + 1) for epoch in range(trainer.current_epoch)}
        self.lines += [line for line in earlier if line.partition(",")[0] in finished]
        total = int(trainer.estimated_stepping_batches)
        task = self.progress.add_task("training steps", total=total, completed=trainer.global_step)
        self.advance = lambda: self.progress.advance(task)
        self.progress.start()

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self.started = time.monotonic()

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.advance()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs
        seconds = time.monotonic() - self.started
        self.lines.append(",".join([str(epoch), *(f"{metrics[name]:.4f}" for name in METRICS.values())]))
        write_file(self.path, ("\n".join(self.lines) + "\n").encode())
        self.console.print(
            f"epoch {epoch}/{epochs}: loss {metrics['loss']:.3f}, accuracy {metrics['accuracy']:.1%}, "
            f"selection loss {metrics['selection_loss']:.3f}, accuracy {metrics['selection_accuracy']:.1%} "
            f"({seconds:.0f} s, about {seconds * (epochs - epoch) / 60:.0f} min left)",
            highlight=False,
            soft_wrap=True,
        )

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self.progress.stop()

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        self.progress.stop()
