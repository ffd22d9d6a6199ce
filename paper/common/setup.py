"""What every experiment draws on: the networks, the images and their recordings, all cached."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from rich.console import Console

from paper.common.cache import Cache
from paper.common.images import ImageSet, prepare
from paper.common.networks import Networks
from paper.common.settings import PaperConfig
from paper.common.timing_tasks import TimedSpikes
from spikesam.backends.available import make_backend
from spikesam.backends.network import Network
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.images.samples import choose_samples
from spikesam.pipeline.maps.layers import spatial_layers
from spikesam.pipeline.networks.precisions import in_precision
from spikesam.recordings.progress import Tracker
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import RasterHeader
from spikesam.recordings.text import told_apart


class Setup:
    """Networks, images and recordings of one configuration.

    Parameters
    ----------
    config : the configuration
    out : folder for the results
    console : for progress
    cache : folder of networks, recordings and maps; `out/stages` if not given
    """

    def __init__(self, config: PaperConfig, out: Path, console: Console, cache: Path | None = None) -> None:
        self.config = config
        self.settings = config.paper
        self.out = out
        self.tracker = Tracker(console)
        self.progress = self.tracker.show
        self.cache = Cache(cache or out / "stages", console)
        self.networks = Networks(config, self.cache, console)

    @property
    def class_names(self) -> list[str]:
        """What figures call the classes, by their numbers: the first of several synonyms."""
        return told_apart(name.split(",")[0] for name in self.networks.surrogate.class_names)

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
        images: ImageSet | TimedSpikes,
        *,
        seed: int | None = None,
        backend: str = "auto",
        precision: str = "fixed",
    ) -> Path:
        """The raster file of `images` through `network`; encoded with `seed`, by default the settings'.

        Where it was recorded before, nothing is simulated.
        """
        network = in_precision(network, precision)
        seed = self.settings.seed if seed is None else seed
        device = "auto" if backend in ("event", "lava") else self.settings.device
        simulator = make_backend(backend, device)
        inputs = {"network": network.sha256, "images": images.sha256, "seed": seed, "backend": simulator.name}
        inputs["schema"] = RasterHeader.VERSION  # rasters of an older format are recorded again

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
        """Names of the convolutions that stand for the paper's layers 4, 6 and 8, in order of depth."""
        kinds = {spec.name: spec.kind for spec in raster.layers if spec.kind == "conv"}
        return list(spatial_layers(kinds, self.settings.layers, "paper.layers"))
