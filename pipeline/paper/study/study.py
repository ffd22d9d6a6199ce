"""What every experiment draws on: trained and converted networks, images, recordings and reference maps, all cached."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from backends.available import make_backend
from backends.network.graph import Network
from backends.network.quantise import quantise
from pipeline.cli.progress import progress_bar
from pipeline.config import Config, NetworkSection, TrainingSection
from pipeline.images.datasets import open_dataset
from pipeline.images.samples import choose_samples
from pipeline.maps.method import spatial_layers
from pipeline.networks.ann_checkpoint import AnnCheckpoint, check_twins, load_ann
from pipeline.networks.checkpoint import Checkpoint, check_fit, load_checkpoint, save_checkpoint
from pipeline.simulation import raster_header, record
from recordings.errors import InputError
from recordings.raster.reader import RasterReader
from recordings.raster.writer import RasterWriter

from .images import ImageSet, prepare
from .settings import PaperConfig
from .stages import Stages


class Study:
    """Networks, images, recordings and reference maps of one configuration.

    Parameters
    ----------
    config : the configuration
    out : folder for the results; `out/stages` holds the cache
    console : for progress
    """

    def __init__(self, config: PaperConfig, out: Path, console: Console) -> None:
        self.config = config
        self.settings = config.paper
        self.out = out
        self.console = console
        self.stages = Stages(out / "stages", console)

    @cached_property
    def surrogate(self) -> Checkpoint:
        """The network trained with surrogate gradients."""
        if self.settings.checkpoint is not None:
            return self._fitting(load_checkpoint(self.settings.checkpoint), self.settings.checkpoint)
        return self.trained(self.config.network, self.config.training)

    @cached_property
    def ann(self) -> AnnCheckpoint:
        """Its ANN twin."""
        if self.settings.ann is not None:
            ann = load_ann(self.settings.ann)
            check_twins(ann, self.surrogate, self.settings.ann)
            return ann
        network = self.config.network.model_copy(update={"neuron": "relu"})
        return load_ann(str(self._training(network, self.config.ann)))

    @cached_property
    def converted(self) -> Checkpoint:
        """The ANN twin converted to spikes, as `[conversion]` says."""
        from pipeline.networks.conversion.algorithm import convert_checkpoint

        ann, settings = self.ann, self.config.conversion
        described = settings.model_dump(mode="json", exclude={"ann"})
        inputs = {"ann": ann.sha256, "conversion": described, "data": self._training_data}

        def build(folder: Path) -> None:
            with self.progress("converting", None):
                save_checkpoint(convert_checkpoint(ann, self.config), folder / "checkpoint.safetensors")

        return load_checkpoint(str(self.stages.folder("converted", inputs, build) / "checkpoint.safetensors"))

    def trained(self, network: NetworkSection, training: TrainingSection) -> Checkpoint:
        """A network trained with surrogate gradients as described."""
        return load_checkpoint(str(self._training(network, training)))

    def leaky(self, leak: float, seed: int = 0) -> Checkpoint:
        """A surrogate-trained network of another leak λ, by the shorter schedule of `leak_epochs`.

        Raises
        ------
        InputError : if data and network of the configuration are not the surrogate's, to which it is to be compared
        """
        described = Config(data=self.config.data, network=self.config.network)
        check_fit(self.surrogate, described, str(self.settings.checkpoint))
        network = self.config.network.model_copy(update={"leak": leak})
        update = {"epochs": self.settings.leak_epochs, "seed": seed}
        return self.trained(network, self.config.training.model_copy(update=update))

    def twin(self, leak: float) -> Checkpoint:
        """The same once more, trained from another seed.

        Raises
        ------
        InputError : if the seeds are the same
        """
        if self.settings.twin_seed == self.config.training.seed:
            raise InputError(
                f"paper.twin_seed: got {self.settings.twin_seed}, which is training.seed; expected another, so that "
                "two trainings can be compared"
            )
        return self.leaky(leak, self.settings.twin_seed)

    @cached_property
    def images(self) -> ImageSet:
        """The validation images that every experiment measures on."""
        return self.validation(self.settings.images)

    def validation(self, count: int) -> ImageSet:
        """So many validation images, from a seeded class-balanced order."""
        data = self.config.data
        return prepare(choose_samples(data.source, self.surrogate, count, self.settings.seed, data.download))

    def recording(
        self,
        network: Network,
        images: ImageSet,
        *,
        seed: int | None = None,
        backend: str = "auto",
        precision: str = "fixed",
    ) -> Path:
        """The raster file of `images` through `network`; encoded with `seed`, by default the settings'.

        Where it was recorded before, nothing is simulated.
        """
        network = quantise(network) if precision == "fixed" else network
        seed = self.settings.seed if seed is None else seed
        device = "auto" if backend in ("event", "lava") else self.settings.device
        simulator = make_backend(backend, device)
        inputs = {"network": network.sha256, "images": images.sha256, "seed": seed, "backend": simulator.name}

        def build(folder: Path) -> None:
            header = raster_header(network, simulator, images.name, seed, json.dumps({}))
            writer = RasterWriter(folder, header, images.table, resume=any(folder.iterdir()))
            what = f"recording {images.name}, {network.timesteps} steps, on {simulator.name}"
            with self.progress(what, len(images)) as advance:
                advance(len(images) - len(writer.remaining))
                record(
                    network,
                    simulator,
                    images,
                    writer,
                    seed=seed,
                    batch_size=self.settings.batch_size,
                    progress=advance,
                )

        return self.stages.folder("raster", inputs, build) / "raster.h5"

    def layers(self, raster: RasterReader) -> list[str]:
        """Names of the convolutions that stand for the paper's layers 4, 6 and 8, in order of depth.

        Raises
        ------
        InputError : if one of them is none of the convolutions
        """
        kinds = {spec.name: spec.kind for spec in raster.layers if spec.kind == "conv"}
        return list(spatial_layers(kinds, self.settings.layers, "paper.layers"))

    def arrays(
        self, kind: str, inputs: dict[str, Any], compute: Callable[[], dict[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Arrays that are expensive to compute, cached by what went into them."""

        def build(folder: Path) -> None:
            np.savez(folder / "arrays.npz", allow_pickle=False, **compute())

        with np.load(self.stages.folder(kind, inputs, build) / "arrays.npz", allow_pickle=False) as file:
            return dict(file)

    def reference(self, images: ImageSet) -> NDArray[np.float32]:
        """The map that the paper measures against: Grad-CAM of the ANN twin at its last convolution.

        It is taken for the true label, or where that is unknown for the class that the ANN predicts. Images may be
        larger than the ANN's own, see :func:`pipeline.networks.widen_ann.widen_ann`.

        Returns
        -------
        (N, h, w) float32 ≥ 0
        """
        from pipeline.maps.gradcam import ann_grad_cam
        from pipeline.networks.widen_ann import widen_ann

        model = widen_ann(self.ann.model, *images.size).eval()
        last = [plan.name for plan in model.plans if plan.kind == "conv"][-1]

        def compute() -> dict[str, NDArray[Any]]:
            maps = []
            with self.progress("Grad-CAM of the ANN", len(images)) as advance:
                for start in range(0, len(images), self.settings.batch_size):
                    batch = slice(start, start + self.settings.batch_size)
                    maps.append(ann_grad_cam(model, images.pixels[batch], images.labels[batch], last))
                    advance(len(maps[-1]))
            return {"maps": np.concatenate(maps)}

        inputs = {"ann": self.ann.sha256, "images": images.sha256, "layer": last}
        maps: NDArray[np.float32] = self.arrays("grad-cam", inputs, compute)["maps"]
        return maps

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar; yields what is to be called with the number of items just done."""
        with progress_bar(self.console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)

    def _training(self, network: NetworkSection, training: TrainingSection) -> Path:
        from pipeline.networks.training import train_checkpoint

        config = Config(data=self.config.data, network=network, training=training)
        inputs = {
            "data": self._training_data,
            "network": network.model_dump(mode="json"),
            "training": training.model_dump(mode="json", exclude={"workers", "processes"}),
        }

        def build(folder: Path) -> None:
            resume = (folder / "epochs" / "last.ckpt").is_file()
            train_checkpoint(config, folder, resume, self.console)
            for leftover in ("epochs", "tensorboard"):
                shutil.rmtree(folder / leftover)

        return self.stages.folder("trained", inputs, build) / "checkpoint.safetensors"

    @cached_property
    def _training_data(self) -> dict[str, Any]:
        """What training depends on, wherever the data lie."""
        data = self.config.data
        dataset = open_dataset(data.source, "train", data.classes, download=data.download)
        return {"name": dataset.name, "images": len(dataset), **data.model_dump(mode="json", exclude={"source"})}

    def _fitting(self, checkpoint: Checkpoint, name: str) -> Checkpoint:
        if checkpoint.network.precision != "float32":
            raise InputError(f"paper.checkpoint {name!r}: is in fixed point, expected float32; gradients need it")
        return checkpoint
