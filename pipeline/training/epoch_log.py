"""Lines that a training prints and leaves in metrics.csv."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
from rich.console import Console

from spikesam.recordings.disk import write_file
from spikesam.recordings.progress import progress_bar

METRICS = {  # column of metrics.csv -> what Lightning calls it here
    "training_loss": "loss",
    "training_accuracy": "accuracy",
    "selection_loss": "selection_loss",
    "selection_accuracy": "selection_accuracy",
}


class EpochLog(lightning.Callback):
    """A bar over all steps with the time left, and per epoch a line on the console and one in `metrics.csv`."""

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
        self.lines.append(",".join([str(epoch), *(f"{metrics[name]:.4f}" for name in METRICS.values())]))
        write_file(self.path, ("\n".join(self.lines) + "\n").encode())
        self.console.print(
            f"epoch {epoch}/{epochs}: loss {metrics['loss']:.3f}, accuracy {metrics['accuracy']:.1%}, "
            f"selection loss {metrics['selection_loss']:.3f}, accuracy {metrics['selection_accuracy']:.1%} "
            f"({seconds:.0f} s, about {seconds * (epochs - epoch) / 60:.0f} min left)",
            soft_wrap=True,
        )

    def on_train_end(self, trainer: Any, module: Any) -> None:
        """Take the bar away."""
        self.progress.stop()

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        """Take the bar away."""
        self.progress.stop()
