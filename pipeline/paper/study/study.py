"""What every experiment draws on: the networks, the images and their recordings, all cached."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from rich.console import Console

from backends.available import make_backend
from backends.network import Network
from backends.network.quantise import quantise
from pipeline.cli.progress import progress_bar
from pipeline.images.samples import choose_samples
from pipeline.maps.method import spatial_layers
from pipeline.simulation import raster_header, record
from recordings.raster.reader import RasterReader
from recordings.raster.schema import SCHEMA_VERSION
from recordings.raster.writer import RasterWriter

from .images import ImageSet, prepare
from .networks import Networks
from .settings import PaperConfig
from .stages import Stages


class Study:
    """Networks, images and recordings of one configuration.

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
        self.networks = Networks(config, self.stages, console)

    @cached_property
    def images(self) -> ImageSet:
        """The validation images that every experiment measures on."""
        return self.validation(self.settings.images)

    def validation(self, count: int) -> ImageSet:
        """The first `count` validation images of a seeded class-balanced order."""
        data = self.config.data
        return prepare(choose_samples(data.source, self.networks.surrogate, count, self.settings.seed, data.download))

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
        inputs["schema"] = SCHEMA_VERSION  # rasters of an older format are recorded again

        def build(folder: Path) -> None:
            header = raster_header(network, simulator, images.name, seed, json.dumps({}))
            writer = RasterWriter(folder, header, images.table, resume=any(folder.iterdir()))
            what = f"recording {images.name}, {network.timesteps} steps, on {simulator.name}"
            with self.progress(what, len(images)) as advance:
                advance(len(images) - len(writer.remaining))
                size = self.settings.batch_size
                record(network, simulator, images, writer, seed=seed, batch_size=size, progress=advance)

        return self.stages.folder("raster", inputs, build) / "raster.h5"

    def layers(self, raster: RasterReader) -> list[str]:
        """Names of the convolutions that stand for the paper's layers 4, 6 and 8, in order of depth.

        Raises
        ------
        InputError : if one of them is none of the convolutions
        """
        kinds = {spec.name: spec.kind for spec in raster.layers if spec.kind == "conv"}
        return list(spatial_layers(kinds, self.settings.layers, "paper.layers"))

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar; yields what is to be called with the number of items just done."""
        with progress_bar(self.console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)
