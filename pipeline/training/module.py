"""One step of training and of selection, and the optimizer with its schedule."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn import functional

from spikesam.pipeline.config import TrainingSection
from spikesam.pipeline.training.inputs import Inputs
from spikesam.pipeline.training.relu_network import ReluNetwork
from spikesam.pipeline.training.spiking_network import SpikingNetwork
from spikesam.recordings.errors import InputError

STEP_MILESTONES = (0.5, 0.7, 0.9)  # of the epochs, where "step" divides the learning rate by ten
SELECTION_SEED = 1_000_003  # of the Poisson spikes that the selection accuracy is measured with


class TrainingModule(lightning.LightningModule):
    """Loss, selection accuracy and optimizer of either trainable network, for Lightning."""

    def __init__(self, model: SpikingNetwork | ReluNetwork, settings: TrainingSection, inputs: Inputs) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.inputs = inputs

    def on_train_epoch_start(self) -> None:
        """Seed everything random of the epoch by its number."""
        torch.manual_seed((self.settings.seed * 100_003 + self.current_epoch) * 1009)
        if self.current_epoch > 0:  # a number that loaders without a generator of their own drew here, unless resumed
            torch.empty((), dtype=torch.int64).random_()

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        """The loss of one batch."""
        images, labels, boxes = batch
        logits = self.model(self.inputs.varied(images, boxes))
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.settings.label_smoothing)
        if not torch.isfinite(loss):
            raise InputError(
                f"training: the loss is {float(loss)} in epoch {self.current_epoch + 1}, step {number + 1}; "
                "lower training.learning_rate, or check the data for extreme values"
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
        self.log_dict({"selection_loss": loss, "selection_accuracy": accuracy}, batch_size=len(labels))

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
            milestones = [round(share * settings.epochs) for share in STEP_MILESTONES]
            return [optimizer], [torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)]
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def _groups(self) -> list[dict[str, Any]]:
        """Synapses, and BNTT's gains where they decay at a rate of their own."""
        decay, gain_decay = self.settings.weight_decay, self.settings.gain_decay
        if gain_decay is None:
            return [{"params": list(self.parameters()), "weight_decay": decay}]
        gains = [parameter for name, parameter in self.named_parameters() if ".bntt." in name]
        others = [parameter for name, parameter in self.named_parameters() if ".bntt." not in name]
        return [{"params": others, "weight_decay": decay}, {"params": gains, "weight_decay": gain_decay}]
