"""Networks trained alike but for the dose of weight decay that BNTT's gains get.

SGD shrinks a parameter of which the loss knows nothing by learning rate × decay at every step. With a share η_n·λ_n at
step n it keeps exp(-Σ η_n·λ_n) of its size, with momentum 0.9 exp(-10·Σ). The dose is this sum, in units of the sum of
the paper's recipe, whose momentum is the same. (Where η·λ is above 0.0026, momentum lags behind: a gain swings through
zero as it shrinks, by at most 5 % a step.) The dose is what a long and weak decay and a short and strong one share. Two
things they do not share. A gain that matters settles where gradient and decay balance, which depends on λ alone. So
gains may get a learning rate of their own, `rate` times that of the synapses: it gives the same dose by a decay `rate`
times weaker, in as many steps. And in the paper's recipe a free gain takes 2,000 steps to shrink to 1/e, in which a
network learns; in a short training with as large a dose, it takes few, and a network that has not learnt anything falls
silent before it does. So networks first learn without decay, and get the dose afterwards.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import lightning
import torch

from paper.common.networks import described_data
from paper.common.setup import Setup
from spikesam.backends.network import Network
from spikesam.pipeline.config import Config, TrainingSection
from spikesam.pipeline.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from spikesam.pipeline.training.epochs import finished_epochs
from spikesam.pipeline.training.export import export_network
from spikesam.pipeline.training.fit import build_model, train_checkpoint
from spikesam.pipeline.training.images import steps_per_epoch
from spikesam.pipeline.training.inputs import training_inputs
from spikesam.pipeline.training.module import STEP_MILESTONES
from spikesam.pipeline.training.start import start_from
from spikesam.recordings.errors import InputError

Gradients = Literal["none", "zero"]  # of what no answer hears of, as the optimizer gets them
PAPER = TrainingSection(
    epochs=90, batch_size=32, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4, schedule="step"
)
PAPER_STEPS = 100_000 // PAPER.batch_size  # per epoch, of all training images; the paper does not give the batch


@dataclass(frozen=True)
class Treatment:
    """What gains get in one training.

    Parameters
    ----------
    dose : in units of the paper's
    gradients : "none", of gains that no answer hears of, which the optimizer then skips, or "zero", so that they decay,
        too: what torch's `DataParallel` hands to the optimizer
    rate : learning rate of the gains, in units of the synapses'
    """

    dose: float
    gradients: Gradients = "none"
    rate: float = 1.0


def sum_of_rates(training: TrainingSection, steps: int) -> float:
    """Σ η_n, the learning rate summed over all steps of a training with so many steps per epoch.

    Raises
    ------
    InputError : if it is not SGD with the schedule "step", whose decay is a share of the learning rate
    """
    if (training.optimizer, training.schedule) != ("sgd", "step"):
        raise InputError(
            f"dose: got optimizer {training.optimizer!r} with schedule {training.schedule!r}, "
            'expected "sgd" with "step", as in the paper'
        )
    ends = [round(share * training.epochs) for share in STEP_MILESTONES]
    tenths = (sum(epoch >= end for end in ends) for epoch in range(training.epochs))
    return steps * training.learning_rate * sum(0.1**fallen for fallen in tenths)


def decay_of(dose: float, training: TrainingSection, steps: int, rate: float = 1.0) -> float:
    """λ, the weight decay by which gains get this dose in a training with so many steps per epoch."""
    paper = PAPER.weight_decay * sum_of_rates(PAPER, PAPER_STEPS)
    return dose * paper / (rate * sum_of_rates(training, steps))


class TreatGains(lightning.Callback):
    """Trains BNTT's gains at their own rate, and hands them gradients of zero where there are none, if asked for."""

    def __init__(self, treatment: Treatment) -> None:
        self.treatment = treatment

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Set the rate, which the schedule goes on from; a training that is resumed has it already."""
        if trainer.global_step == 0:
            _, gains = trainer.optimizers[0].param_groups
            gains["lr"] *= self.treatment.rate

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        """Fill in the zeros."""
        if self.treatment.gradients == "zero":
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is None:
                        parameter.grad = torch.zeros_like(parameter)


def dosed(setup: Setup, first: Config, then: TrainingSection, treatment: Treatment) -> Checkpoint:
    """A network that has learnt without decay of its gains, and was then trained on with a dose of it; cached.

    It is the network at the end, which got the whole dose.

    Parameters
    ----------
    first : data, network and training without the dose
    then : the training with it, from where the first one ended; `gain_decay` and `start` are set here
    """
    decay = decay_of(treatment.dose, then, steps_per_epoch(first.model_copy(update={"training": then})), treatment.rate)
    start = learnt(setup, first)
    training = then.model_copy(update={"gain_decay": decay, "start": start})
    config = first.model_copy(update={"training": training})
    inputs = {
        "learnt": start.parent.name,
        "training": training.model_dump(mode="json", exclude={"workers", "start"}),
        "treatment": asdict(treatment),
    }

    def build(folder: Path) -> None:
        resume = bool(finished_epochs(folder))
        best = train_checkpoint(config, folder, resume, setup.tracker.console, [TreatGains(treatment)])
        last = replace(best, network=last_network(config, folder, len(best.classes)))
        save_checkpoint(last, folder / "checkpoint.safetensors")
        clear(folder)

    return load_checkpoint(setup.cache.folder("dosed", inputs, build) / "checkpoint.safetensors")


def learnt(setup: Setup, config: Config) -> Path:
    """The last epoch of a training, for others to start from; trained once, then cached."""
    inputs = {
        "data": described_data(config.data),
        "network": config.network.model_dump(mode="json"),
        "training": config.training.model_dump(mode="json", exclude={"workers"}),
    }

    def build(folder: Path) -> None:
        train_checkpoint(config, folder, bool(finished_epochs(folder)), setup.tracker.console)
        (folder / "epochs" / "last.ckpt").rename(folder / "start.ckpt")
        clear(folder)

    return setup.cache.folder("learnt", inputs, build) / "start.ckpt"


def clear(folder: Path) -> None:
    """Remove what a training leaves for its own resume."""
    for leftover in ("epochs", "tensorboard"):
        shutil.rmtree(folder / leftover)


def last_network(config: Config, folder: Path, classes: int) -> Network:
    """The network of the last epoch, where training keeps the one that did best on the selection split."""
    model = build_model(config, training_inputs(config), classes)
    start_from(model, folder / "epochs" / "last.ckpt")
    return export_network(model.eval())
