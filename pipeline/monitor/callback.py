"""A :class:`Monitor` for trainings with Lightning."""

from __future__ import annotations

from typing import Any

import lightning

from spikesam.pipeline.monitor.monitor import Monitor


class MonitorCallback(lightning.Callback):
    """Records one fixed batch every few epochs of a training with Lightning, see
    :class:`spikesam.Monitor`.

    Numbers and pictures go to those of the trainer's loggers that have `add_scalar` and
    `add_image`, as TensorBoard's.

    Parameters
    ----------
    batch : the module's input; tensors are moved to its device
    options : of :class:`spikesam.Monitor`

    Attributes
    ----------
    monitor : with its `history` and `strip`, once the training has begun

    Examples
    --------
    >>> import spikesam, torch
    >>> callback = spikesam.MonitorCallback(torch.rand(4, 1, 8, 8), every=5)
    >>> # lightning.Trainer(callbacks=[callback]).fit(module, loader);
    callback.monitor.strip("lif1")
    """

    def __init__(self, batch: Any, **options: Any) -> None:
        self._batch, self._options = batch, options
        self.monitor: Monitor | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the monitor."""
        batch = pl_module.transfer_batch_to_device(self._batch, pl_module.device, 0)
        written = [
            logger.experiment
            for logger in trainer.loggers
            if hasattr(logger.experiment, "add_image")
        ]
        self.monitor = Monitor(pl_module, batch, written, **self._options)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record, in one process alone."""
        if trainer.is_global_zero and self.monitor is not None:
            self.monitor(trainer.current_epoch)
