"""Sources of every experiment: the networks, the images and their recordings, all cached."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from paper.common.cache import Cache
from paper.common.images import EventSet, ImageSet, TimedSpikes, prepare
from paper.common.settings import PaperConfig
from spikesam import Checkpoint, InputError, Network, RasterReader, load, quantise, save, simulate
from spikesam.commands import Tracker, progress_bar
from spikesam.data import DatasetSamples, EventSamples, RasterHeader, choose_samples, open_dataset
from spikesam.errors import at
from spikesam.figures import told_apart
from spikesam.maps import mapped_layers
from spikesam.settings import (
    Config,
    ConversionSection,
    DataSection,
    NetworkSection,
    TrainingSection,
)
from spikesam.simulators import make_backend

if TYPE_CHECKING:
    from lightning import Callback


class Setup:
    """Networks, images and recordings of one configuration: what every experiment draws on.

    Results go to `out`, networks, recordings and maps to `cache`, `out/stages` if not given.
    """

    def __init__(
        self, config: PaperConfig, out: Path, console: Console, cache: Path | None = None
    ) -> None:
        self.config = config
        self.settings = config.paper
        self.out = out
        self.tracker = Tracker(console)
        self.progress = self.tracker.show
        self.cache = Cache(cache or out / "stages", console)
        self.networks = Networks(config, self.cache, console)

    @property
    def class_names(self) -> list[str]:
        """Names of classes in figures, by their numbers: the first of several synonyms."""
        return told_apart(name.split(",")[0] for name in self.networks.surrogate.class_names)

    @cached_property
    def subjects(self) -> ImageSet | EventSet:
        """The validation samples that experiments measure on."""
        return self.samples(self.settings.images)

    @cached_property
    def images(self) -> ImageSet:
        """These, where they are images."""
        if isinstance(self.subjects, EventSet):
            raise InputError(f"{self.subjects.name}: holds events, expected images")
        return self.subjects

    def validation(self, count: int) -> ImageSet:
        """The first `count` validation images of a seeded class-balanced order."""
        return prepare(self._chosen(count))

    def samples(self, count: int) -> ImageSet | EventSet:
        """The same, or as many recordings of events."""
        chosen = self._chosen(count)
        return EventSet(**vars(chosen)) if isinstance(chosen, EventSamples) else prepare(chosen)

    def _chosen(self, count: int) -> DatasetSamples:
        data = self.config.data
        return choose_samples(
            data.source, self.networks.surrogate, count, self.settings.seed, data.download
        )

    def recording(
        self,
        network: Network,
        images: ImageSet | EventSet | TimedSpikes,
        *,
        seed: int | None = None,
        backend: str = "auto",
        precision: str = "fixed",
    ) -> Path:
        """The raster file of `images` through `network`, encoded with `seed`, by default the
        settings'; cached.
        """
        network = quantise(network) if precision == "fixed" else network
        seed = self.settings.seed if seed is None else seed
        device = "auto" if backend in ("event", "lava") else self.settings.device
        simulator = make_backend(backend, device)
        inputs = {
            "network": network.sha256,
            "images": images.sha256,
            "seed": seed,
            "backend": simulator.name,
        }
        inputs["schema"] = (
            RasterHeader.STAMP.version
        )  # rasters of an older format are recorded again

        def build(folder: Path) -> None:
            simulate(
                network,
                images,
                out=folder,
                backend=simulator,
                precision=precision,
                seed=seed,
                batch_size=self.settings.batch_size,
                resume=any(folder.iterdir()),
                tracker=self.tracker,
            ).close()

        return self.cache.folder("raster", inputs, build) / "raster.h5"

    def layers(self, raster: RasterReader) -> list[str]:
        """Names of the convolutions that stand for the paper's layers 4, 6 and 8, in order of
        depth.
        """
        shapes = {spec.name: spec.shape for spec in raster.layers if spec.kind == "conv"}
        with at("paper.layers"):
            return list(mapped_layers(shapes, self.settings.layers, bands=False))


class Networks:
    """Every network that the experiments ask for, loaded, trained or converted as the configuration
    says.
    """

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
        checkpoint = load(name, "snn")
        if checkpoint.network.precision != "float32":
            raise InputError(
                f"paper.checkpoint {name!r}: is in fixed point, expected float32; gradients need it"
            )
        return checkpoint

    @cached_property
    def ann(self) -> Checkpoint:
        """The ANN twin of the surrogate-trained network."""
        if self.settings.ann is not None:
            ann = load(self.settings.ann, "ann")
            _check_twins(ann, self.surrogate, self.settings.ann)
            return ann
        network = self.config.network.model_copy(update={"neuron": "relu"})
        return self.trained(network, self.config.ann)

    @cached_property
    def converted(self) -> Checkpoint:
        """The ANN twin converted to spikes, as `[conversion]` says."""
        return self.converted_by(self.config.conversion.rule)

    def converted_by(self, rule: str) -> Checkpoint:
        """The ANN twin converted to spikes by a rule, and otherwise as `[conversion]` says."""
        return self.converted_as(self.config.conversion.model_copy(update={"rule": rule}))

    def converted_as(self, settings: ConversionSection) -> Checkpoint:
        """The ANN twin converted to spikes, as these settings say."""
        from spikesam.training import calibration_of, converted

        ann, config = self.ann, self.config.model_copy(update={"conversion": settings})
        described = settings.model_dump(mode="json", exclude={"ann"})
        inputs = {"ann": ann.network.sha256, "conversion": described, "data": self._training_data}

        def build(folder: Path) -> None:
            with progress_bar(self.console, transient=True) as bar:
                bar.add_task("converting", total=None)
                network, _ = converted(ann.network, calibration_of(ann, config), settings)
                save(replace(ann, network=network), folder / "checkpoint.safetensors")

        return load(self.cache.folder("converted", inputs, build) / "checkpoint.safetensors")

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of those of the three above that an experiment has asked for so far, by name."""
        return {
            name: vars(self)[name].network.sha256
            for name in ("surrogate", "ann", "converted")
            if name in vars(self)
        }

    @property
    def both(self) -> dict[str, Network]:
        """The two spiking networks that the paper compares, by name."""
        return {"surrogate": self.surrogate.network, "converted": self.converted.network}

    @property
    def by_rule(self) -> dict[str, Network]:
        """Those two, and the ANN converted by each other rule of `paper.rules`: "converted,
        balanced" and so on.
        """
        found = self.both
        for rule in self.settings.rules:
            if rule != self.config.conversion.rule:
                found[f"converted, {rule}"] = self.converted_by(rule).network
        return found

    def leaky(self, leak: float) -> list[Checkpoint]:
        """Surrogate-trained networks of another leak λ, by the schedule of `leak_epochs`, a
        training seed each.
        """
        described = Config(data=self.config.data, network=self.config.network)
        from spikesam.training import check_fit  # here, because Lightning takes seconds to import

        check_fit(self.surrogate, described, str(self.settings.checkpoint))
        network, training = (
            self.config.network.model_copy(update={"leak": leak}),
            self.config.training,
        )
        seeds = range(training.seed, training.seed + self.settings.trainings)
        updates = ({"epochs": self.settings.leak_epochs, "seed": seed} for seed in seeds)
        return [self.trained(network, training.model_copy(update=update)) for update in updates]

    def trained(self, network: NetworkSection, training: TrainingSection) -> Checkpoint:
        """A network trained as described."""
        config = Config(data=self.config.data, network=network, training=training)

        def build(folder: Path) -> None:
            train_in(folder, config, self.console)
            remove_leftovers(folder)

        inputs = described(config, self._training_data)
        return load(self.cache.folder("trained", inputs, build) / "checkpoint.safetensors")

    @cached_property
    def _training_data(self) -> dict[str, Any]:
        return described_data(self.config.data)


def described(config: Config, data: dict[str, Any]) -> dict[str, Any]:
    """Settings that a trained network depends on."""
    training = config.training.model_dump(mode="json", exclude={"workers"})
    return {"data": data, "network": config.network.model_dump(mode="json"), "training": training}


def train_in(
    folder: Path, config: Config, console: Console, callbacks: Sequence[Callback] = ()
) -> Checkpoint:
    """Train in the folder of a stage, from the last epoch that an interrupted build finished
    there.
    """
    from spikesam import train  # here, because Lightning takes seconds to import

    resume = any((folder / "epochs").glob("*.ckpt"))
    if not resume:
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)  # of a build that ended here
    return train(config, folder, resume=resume, console=console, callbacks=callbacks)


def remove_leftovers(folder: Path) -> None:
    """Remove what a training leaves for its own resume."""
    for leftover in ("epochs", "tensorboard"):
        shutil.rmtree(folder / leftover)


def described_data(data: DataSection) -> dict[str, Any]:
    """Settings that training depends on, wherever the data lie."""
    dataset = open_dataset(data.source, "train", data.classes, download=data.download)
    return {
        "name": dataset.name,
        "images": len(dataset),
        **data.model_dump(mode="json", exclude={"source"}),
    }


def _check_twins(ann: Checkpoint, snn: Checkpoint, name: str) -> None:
    """Refuse an ANN that cannot be compared with a spiking network, image by image and layer by
    layer.
    """
    for what, of_ann, of_snn in (
        ("classes", ann.classes, snn.classes),
        ("preprocessing", ann.preprocessing, snn.preprocessing),
        ("layers (kind, outputs, pool)", ann.network.outline, snn.network.outline),
    ):
        if of_ann != of_snn:
            raise InputError(
                f"ANN {name!r} is no twin of the spiking network: its {what} are {of_ann}, the "
                f"other's {of_snn}; choose an ANN with the layers, classes and image preparation "
                "of the spiking network"
            )
