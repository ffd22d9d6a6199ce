"""The networks of a setup: surrogate-trained, its ANN twin, converted, and of other leaks; made once, then cached."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from paper.common.cache import Cache
from paper.common.settings import PaperConfig
from spikesam.backends.network import Network
from spikesam.pipeline.config import (
    Config,
    ConversionRule,
    ConversionSection,
    DataSection,
    NetworkSection,
    TrainingSection,
)
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.networks.checkpoint import Checkpoint, check_fit, check_twins, load_checkpoint, save_checkpoint
from spikesam.recordings.errors import InputError
from spikesam.recordings.progress import progress_bar


class Networks:
    """Every network that the experiments ask for, loaded, trained or converted as the configuration says."""

    def __init__(self, config: PaperConfig, cache: Cache, console: Console) -> None:
        self.config = config
        self.settings = config.paper
        self.cache = cache
        self.console = console

    @cached_property
    def surrogate(self) -> Checkpoint:
        """The network trained with surrogate gradients."""
        name = self.settings.checkpoint
        if name is None:
            return self.trained(self.config.network, self.config.training)
        checkpoint = load_checkpoint(name, "snn")
        if checkpoint.network.precision != "float32":
            raise InputError(f"paper.checkpoint {name!r}: is in fixed point, expected float32; gradients need it")
        return checkpoint

    @cached_property
    def ann(self) -> Checkpoint:
        """The ANN twin of the surrogate-trained network."""
        if self.settings.ann is not None:
            ann = load_checkpoint(self.settings.ann, "ann")
            check_twins(ann, self.surrogate, self.settings.ann)
            return ann
        network = self.config.network.model_copy(update={"neuron": "relu"})
        return self.trained(network, self.config.ann)

    @cached_property
    def converted(self) -> Checkpoint:
        """The ANN twin converted to spikes, as `[conversion]` says."""
        return self.converted_by(self.config.conversion.rule)

    def converted_by(self, rule: ConversionRule) -> Checkpoint:
        """The ANN twin converted to spikes by a rule, and otherwise as `[conversion]` says."""
        return self.converted_as(self.config.conversion.model_copy(update={"rule": rule}))

    def converted_as(self, settings: ConversionSection) -> Checkpoint:
        """The ANN twin converted to spikes, as these settings say."""
        from spikesam.pipeline.conversion.algorithm import convert_checkpoint

        ann, config = self.ann, self.config.model_copy(update={"conversion": settings})
        described = settings.model_dump(mode="json", exclude={"ann"})
        inputs = {"ann": ann.network.sha256, "conversion": described, "data": self._training_data}

        def build(folder: Path) -> None:
            with progress_bar(self.console, transient=True) as bar:
                bar.add_task("converting", total=None)
                save_checkpoint(convert_checkpoint(ann, config), folder / "checkpoint.safetensors")

        return load_checkpoint(self.cache.folder("converted", inputs, build) / "checkpoint.safetensors")

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of those of the three above that an experiment has asked for so far, by name."""
        return {
            name: vars(self)[name].network.sha256 for name in ("surrogate", "ann", "converted") if name in vars(self)
        }

    @property
    def both(self) -> dict[str, Network]:
        """The two spiking networks that the paper compares, by name."""
        return {"surrogate": self.surrogate.network, "converted": self.converted.network}

    @property
    def by_rule(self) -> dict[str, Network]:
        """Those two, and the ANN converted by each other rule of `paper.rules`: "converted, balanced" and so on."""
        found = self.both
        for rule in self.settings.rules:
            if rule != self.config.conversion.rule:
                found[f"converted, {rule}"] = self.converted_by(rule).network
        return found

    def leaky(self, leak: float) -> list[Checkpoint]:
        """Surrogate-trained networks of another leak λ, by the shorter schedule of `leak_epochs`, a training seed each.

        Raises
        ------
        InputError : if data and network of the configuration are not the surrogate's, to which they are to be compared
        """
        described = Config(data=self.config.data, network=self.config.network)
        check_fit(self.surrogate, described, str(self.settings.checkpoint))
        network, training = self.config.network.model_copy(update={"leak": leak}), self.config.training
        seeds = range(training.seed, training.seed + self.settings.trainings)
        updates = ({"epochs": self.settings.leak_epochs, "seed": seed} for seed in seeds)
        return [self.trained(network, training.model_copy(update=update)) for update in updates]

    def trained(self, network: NetworkSection, training: TrainingSection) -> Checkpoint:
        """A network trained as described."""
        from spikesam.pipeline.training.epochs import finished_epochs
        from spikesam.pipeline.training.fit import train_checkpoint

        config = Config(data=self.config.data, network=network, training=training)
        inputs = {
            "data": self._training_data,
            "network": network.model_dump(mode="json"),
            "training": training.model_dump(mode="json", exclude={"workers"}),
        }

        def build(folder: Path) -> None:
            train_checkpoint(config, folder, bool(finished_epochs(folder)), self.console)
            for leftover in ("epochs", "tensorboard"):
                shutil.rmtree(folder / leftover)

        return load_checkpoint(self.cache.folder("trained", inputs, build) / "checkpoint.safetensors")

    @cached_property
    def _training_data(self) -> dict[str, Any]:
        return described_data(self.config.data)


def described_data(data: DataSection) -> dict[str, Any]:
    """What training depends on, wherever the data lie."""
    dataset = open_dataset(data.source, "train", data.classes, download=data.download)
    return {"name": dataset.name, "images": len(dataset), **data.model_dump(mode="json", exclude={"source"})}
