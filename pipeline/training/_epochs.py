"""Finished epochs of a training on disk, sealed and free of paths; trainings that begin with one; a
training's log.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from rich.console import Console
from torch import nn

from spikesam.common.disk import write_file
from spikesam.common.errors import InputError, finding
from spikesam.common.files import open_file
from spikesam.common.progress import progress_bar
from spikesam.common.text import printable
from spikesam.pipeline.config import Config
from spikesam.pipeline.training.precision import TYPES
from spikesam.pipeline.training.trainable import ReluNetwork, SpikingNetwork

# bytes at the end of a file: the SHA-256 of all that stands before them, in hexadecimal digits
SEAL = 64
EXPECTED = {  # in an epoch, beside what Lightning reads
    "epoch": int,
    "settings": dict,
    "images": str,
    "accuracy": float,
    "state_dict": dict,
    "callbacks": dict,  # or else Lightning asks none of them to load
}
MAY_CHANGE = ("data.source", "training.workers", "training.start")  # when a training is resumed
PRECISION = "training.precision"  # in an epoch the type that was taken, never "auto"
PREFIX = "model."  # of the network's parameters in a file of TrainingModule


class Epochs(Checkpoint):
    """Writes `last.ckpt` after every epoch and `best.ckpt` after the best, each enough to go on
    from.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        images: str,
        model: SpikingNetwork | ReluNetwork,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.images = images
        self.accuracy = -math.inf
        self.best = deepcopy(model).eval()
        self.restored = 0
        self.goes_on = False

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Refuse what Lightning has restored of its own if it is of another epoch."""
        if not 0 <= trainer.current_epoch == self.restored:
            raise ValueError(
                f"epoch {trainer.current_epoch + 1} would follow epoch {self.restored}"
            )

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Write the epoch."""
        self.goes_on = True
        accuracy = float(trainer.callback_metrics["selection_accuracy"])
        if accuracy > self.accuracy:
            self.accuracy = accuracy
            self.best.load_state_dict(module.model.state_dict())
            trainer.save_checkpoint(self.folder / "best.ckpt")
        trainer.save_checkpoint(self.folder / "last.ckpt")

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """Add what this object holds."""
        checkpoint |= {"settings": self.settings, "images": self.images}
        checkpoint |= {"accuracy": self.accuracy, "best": self.best.state_dict()}

    def on_load_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        self.restored = checkpoint["epoch"] + 1
        self.accuracy = checkpoint["accuracy"]
        self.best.load_state_dict(checkpoint["best"])


class EpochFiles(TorchCheckpointIO):
    """The files by which Lightning writes an epoch, and gets the one to resume from, which has been
    read already.
    """

    def __init__(self, resumed: dict[str, Any] | None) -> None:
        self.resumed = resumed

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write one."""
        write_epoch(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Give that one."""
        assert self.resumed is not None
        return self.resumed


def finished_epochs(folder: Path) -> list[Path]:
    """The files of finished epochs in the folder of a training, the newest first."""
    return [
        path for name in ("last", "best") if (path := folder / "epochs" / f"{name}.ckpt").is_file()
    ]


def write_epoch(epoch: dict[str, Any], path: Path) -> None:
    """Write an epoch with its seal."""
    content = BytesIO()
    torch.save(epoch, content)
    content.write(_sha256(content.getbuffer()))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content.getbuffer())


def read_epoch(path: Path) -> dict[str, Any]:
    """Read an epoch; nothing is unpickled but tensors and plain values, if it is what was
    written.
    """
    with open_file(path) as file:
        file.seek(max(0, path.stat().st_size - SEAL))
        sealed, content = file.read(SEAL), b""
        if re.fullmatch(
            rb"[0-9a-f]{64}", sealed
        ):  # or else no more of it is read: it may be terabytes of zeros
            file.seek(0)
            content = file.read()[:-SEAL]
    if _sha256(content) != sealed:
        raise InputError(
            f"{path}: damaged, or not an epoch of spikesam train: it does not end with its SHA-256"
        )
    try:
        epoch = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        if all(isinstance(epoch[name], kind) for name, kind in EXPECTED.items()):
            return epoch
    except MemoryError:
        raise
    except (
        Exception
    ):  # whatever a file raises that somebody else has sealed; torch would advise to run its code
        pass
    raise InputError(f"{path}: not an epoch of spikesam train")


def start_from(model: nn.Module, path: Path) -> None:
    """Set the parameters and BNTT's statistics of a new `model` to those of an epoch, `path`, of
    another training.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give epochs/best.ckpt of a training's folder")
    state = read_epoch(path)["state_dict"].items()
    parameters = {
        name.removeprefix(PREFIX): value for name, value in state if name.startswith(PREFIX)
    }
    expected = model.state_dict()
    for name in expected | parameters:
        expected_shape, loaded_shape = (
            tuple(state[name].shape) if name in state else "none"
            for state in (expected, parameters)
        )
        if expected_shape != loaded_shape:
            raise InputError(
                f"{path}: {name} has shape {loaded_shape}, the network to train has "
                f"{expected_shape}; layers, timesteps and classes must be the same"
            )
    model.load_state_dict(parameters)


def settings_of(config: Config) -> dict[str, Any]:
    """The settings of a training, such as "training.epochs", as plain values."""
    sections = {
        name: getattr(config, name).model_dump(mode="json")
        for name in ("data", "network", "training")
    }
    return {
        f"{name}.{key}": value
        for name, section in sections.items()
        for key, value in section.items()
    }


def epoch_to_resume(config: Config, out: Path, console: Console) -> tuple[Path, dict[str, Any]]:
    """File and last finished epoch of a training in `out`; the best one, with a line, where that
    file is damaged.
    """
    damaged: list[str] = []
    for path in (epoch_files := finished_epochs(out)):
        try:
            epoch = read_epoch(path)
        except InputError as error:
            damaged.append(finding(error))
            continue
        for name, now in settings_of(config).items():
            then = epoch["settings"].get(name)
            chosen = (name, now) == (PRECISION, "auto")
            same = then in tuple(TYPES) if chosen else now == then
            if not same and name not in MAY_CHANGE:
                raise InputError(
                    f"{path}: the training has {name} {printable(str(then))}, now it is "
                    f"{printable(str(now))}; "
                    "resume with the same settings, or begin another with training.start"
                )
        if damaged:
            console.print(
                f"{damaged[0]}; going on after epoch {epoch['epoch'] + 1}, from {path}",
                soft_wrap=True,
            )
        return path, epoch
    raise InputError(
        f"{damaged[0]}; no other epoch is whole, remove {epoch_files[0].parent} and train from the "
        "start"
    )


def _sha256(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


METRICS = {  # column of metrics.csv -> what Lightning calls it here
    "training_loss": "loss",
    "training_accuracy": "accuracy",
    "selection_loss": "selection_loss",
    "selection_accuracy": "selection_accuracy",
}


class EpochLog(lightning.Callback):
    """A bar over all steps with the time left, and per epoch a line on the console and one in
    `metrics.csv`.
    """

    def __init__(self, console: Console, path: Path) -> None:
        self.console = console
        self.path = path
        self.lines = [",".join(["epoch", *METRICS])]
        self.progress = progress_bar(console)
        self.advance: Callable[[], None] = lambda: None
        self.started = 0.0

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """Add the rows, which a resumed training goes on from; it never reads `metrics.csv`."""
        checkpoint["metrics"] = self.lines

    def on_load_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """Restore them."""
        self.lines = [str(line) for line in checkpoint["metrics"]]

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Show the bar."""
        total = int(trainer.estimated_stepping_batches)
        task = self.progress.add_task("training steps", total=total, completed=trainer.global_step)
        self.advance = lambda: self.progress.advance(task)
        self.progress.start()

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        """Advance the bar."""
        self.advance()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Print and keep the numbers of the epoch."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs
        seconds = time.monotonic() - self.started
        self.lines.append(
            ",".join([str(epoch), *(f"{metrics[name]:.4f}" for name in METRICS.values())])
        )
        write_file(self.path, ("\n".join(self.lines) + "\n").encode())
        self.console.print(
            f"epoch {epoch}/{epochs}: loss {metrics['loss']:.3f}, accuracy "
            f"{metrics['accuracy']:.1%}, "
            f"selection loss {metrics['selection_loss']:.3f}, accuracy "
            f"{metrics['selection_accuracy']:.1%} "
            f"({seconds:.0f} s, about {seconds * (epochs - epoch) / 60:.0f} min left)",
            soft_wrap=True,
        )

    def on_train_end(self, trainer: Any, module: Any) -> None:
        """Take the bar away."""
        self.progress.stop()

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        """Take the bar away."""
        self.progress.stop()
