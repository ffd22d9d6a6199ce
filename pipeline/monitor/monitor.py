"""A network that is being trained, watched: every few epochs one fixed batch is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from spikesam.backends.network import Network
from spikesam.common.arguments import checked_arguments, listed
from spikesam.common.constraints import shown
from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.common.warning import warn
from spikesam.pipeline.cost.energy import energy
from spikesam.pipeline.drawing.canvas import ShownFigure
from spikesam.pipeline.drawing.grid import HEAT, Cell, Row, draw_maps
from spikesam.pipeline.drawing.notebook import html, png_of
from spikesam.pipeline.maps.explain import explain_source
from spikesam.pipeline.maps.layers import has_places
from spikesam.pipeline.maps.plot import figure_of
from spikesam.pipeline.record.record import record
from spikesam.recordings.raster.reader import RasterReader, RecordedLayer

SMALLEST, GAP = 64, 2  # pixels: side of a map in a picture of one epoch, and between two
MOST = 12  # epochs that a strip shows
ABOUT = "A row is a sample, a column an epoch; one scale of colour."
ARRANGED = ("layout", "axes", "grid", "counts")  # options of record
NUMBERS = ("rate", "spikes", "dead", "saturated")
Maps = dict[str, NDArray[np.float32]]


class Logger(Protocol):
    """Methods of TensorBoard's `SummaryWriter`, which other loggers have, too."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Take a number of an epoch."""

    def add_image(self, tag: str, img_tensor: Any, global_step: int) -> Any:
        """Take a picture of an epoch, (3, H, W) uint8."""


class Monitor:
    """Records one fixed batch every few epochs: how often layers fire, which neurons are dead or
    saturated, and maps.

    Call it after each epoch. The batch is run in evaluation mode, without gradients, always with
    the same random numbers; the weights, the modes of all modules and the random numbers of the
    training stay as they are. Neurons keep the state that the batch left, as after any other batch:
    reset them before the next.

    Parameters
    ----------
    model : any torch network that :func:`spikesam.record` takes
    batch : its input; few samples are enough
    logger : takes numbers and pictures, such as TensorBoard's `SummaryWriter`; several in a list
    every : epochs from one recording to the next
    run : called with model and batch, runs all steps from rest; `model(batch)` if not given
    network : makes of the model a network, by which its energy is counted: `lambda model:
        spikesam.from_torch(model, batch, timesteps=10)`. In an epoch in which it cannot, no energy
        is logged, nor where the model takes spikes, since its input is not recorded
    layers : see :func:`spikesam.record`; name them where neurons are written by hand, which are
        found by what they fire
    out : folder in which the recordings stay, `epoch-0010/raster.h5` and so on; they are not kept
        if not given
    options : of the recording, see :func:`spikesam.record`: `layout`, `axes`, `grid`, `counts`; and
        of the maps, see :func:`spikesam.explain`: `gamma`, `variant`

    Attributes
    ----------
    history : a row per epoch and layer, with the columns

        - epoch, layer
        - rate: spikes per neuron and step
        - spikes: of a sample
        - dead: share of the neurons that fire in no sample
        - saturated: share of the neurons that fire at every step of every sample
        - operations, joules: of a sample, see :func:`spikesam.energy`; with `network` alone
    maps : of every recorded epoch, by name of the layer: (N, H, W), sums over the steps

    Raises
    ------
    InputError : if `every` is no whole number above 0, or the model cannot be recorded

    Examples
    --------
    >>> import snntorch, snntorch.utils, torch
    >>> import spikesam
    >>> lif = snntorch.Leaky(0.9, init_hidden=True)
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), lif)
    >>> def run(model, images):
    ...     snntorch.utils.reset(model)
    ...     return torch.stack([model(images) for step in range(10)])
    >>> monitor = spikesam.Monitor(model, torch.rand(2, 1, 8, 8), every=5, run=run)
    >>> for epoch in range(10):  # after each epoch of a training
    ...     _ = monitor(epoch)
    >>> monitor.history["epoch"].tolist(), monitor.maps[5]["leaky_1"].shape
    ([0, 5], (2, 6, 6))
    """

    @checked_arguments(every="a number of epochs ≥ 1")
    def __init__(
        self,
        model: nn.Module,
        batch: Any,
        logger: Logger | Iterable[Logger] | None = None,
        *,
        every: int = 1,
        run: Callable[[Any, Any], Any] | None = None,
        network: Callable[[Any], Network] | None = None,
        layers: Sequence[str] | None = None,
        out: str | PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        if every < 1:
            raise InputError(f"Monitor: every is {every!r}, expected a number of epochs ≥ 1")
        self.model, self.batch, self.every = model, batch, every
        loggers: Any = () if logger is None else logger
        loggers = [logger] if hasattr(logger, "add_scalar") else loggers
        self.loggers: list[Logger] = listed(loggers, "Monitor: logger")
        for other in self.loggers:
            if not hasattr(other, "add_scalar"):
                raise InputError(
                    f"Monitor: logger has the member {shown(other)}, expected loggers such as a "
                    "SummaryWriter of torch"
                )
        self.history = pd.DataFrame({name: [] for name in ("epoch", "layer", *NUMBERS)})
        self.maps: dict[int, Maps] = {}
        self._run, self._network = run or (lambda model, batch: model(batch)), network
        self._layers, self._out = layers, out
        self._recording = {name: options.pop(name) for name in ARRANGED if name in options}
        self._options = options

    def __call__(self, epoch: int) -> pd.DataFrame | None:
        """Record, if it is the turn of this epoch; the new rows of the history, or None.

        Parameters
        ----------
        epoch : counted from 0

        Raises
        ------
        InputError : if the model cannot be recorded, or an option of the maps is none
        """
        if epoch % self.every:
            return None
        folder = (
            nullcontext(Path(self._out, f"epoch-{epoch:04d}"))
            if self._out
            else TemporaryDirectory()
        )
        with folder as place, self._recorded(Path(place)) as raster:
            rows = pd.DataFrame([{"epoch": epoch, **_row(raster[name])} for name in raster])
            rows = rows.join(self._energy(raster), on="layer")
            drawn = [layer.name for layer in raster.layers if has_places(layer.shape)]
            maps = {}
            if drawn:
                with explain_source(
                    raster, Path(place, "sam.h5"), steps="none", overwrite=True, **self._options
                ) as epoch_maps:
                    maps = {name: epoch_maps[name].sum[:] for name in drawn}
        self.history = (
            rows if self.history.empty else pd.concat([self.history, rows], ignore_index=True)
        )
        self.maps[epoch] = maps
        for logger in self.loggers:
            for row in rows.to_dict("records"):
                for name in row.keys() - {"epoch", "layer"}:
                    if not np.isnan(row[name]):
                        logger.add_scalar(f"spikesam/{name}/{row['layer']}", row[name], epoch)
            for name, sums in maps.items():
                logger.add_image(f"spikesam/maps/{name}", beside(sums), epoch)
        return rows

    def _energy(self, raster: RasterReader) -> pd.DataFrame:
        """Operations and joules by layer; without columns where no network is asked for, or none
        can be made.
        """
        if self._network is not None:
            try:
                with evaluating(self.model):
                    costs = energy(raster, self._network(self.model))
                return costs.layers.set_index("layer")[["operations", "joules"]]
            except InputError as error:
                # A layer that never fires cannot be imported, for instance; training goes on.
                warn(f"monitor: no energy in this epoch: {error}")
        return pd.DataFrame(index=pd.Index([], name="layer"))

    def __repr__(self) -> str:
        return (
            f"<Monitor of {type(self.model).__name__}, every {self.every} epochs: "
            f"{len(self.maps)} recorded>"
        )

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows: the last recorded epoch, and the maps of the deepest
        layer by epoch.
        """
        last = self.history[self.history["epoch"] == self.history["epoch"].max()]
        names = [name for maps in self.maps.values() for name in maps] or [""]
        return html(
            [f"{len(self.maps)} recorded epochs", last], lambda: self.strip(names[-1])._repr_png_()
        )

    def strip(self, layer: str, samples: int = 4) -> ShownFigure:
        """A picture: the maps of a layer, a row for each of the first samples, a column for each
        recorded epoch.

        Raises
        ------
        InputError : if nothing was recorded yet, or there are no maps of such a layer
        """
        if not self.maps:
            raise InputError("strip: nothing was recorded yet; call the monitor after each epoch")
        maps_by_epoch = {
            epoch: maps[layer][:samples] for epoch, maps in self.maps.items() if layer in maps
        }
        if not maps_by_epoch:
            known_layers = (
                ", ".join(dict.fromkeys(name for maps in self.maps.values() for name in maps))
                or "none"
            )
            raise InputError(
                f"strip: no maps of layer {layer!r}; there are maps of: {known_layers}"
            )
        return draw_strip(maps_by_epoch, layer)

    @contextmanager
    def _recorded(self, folder: Path) -> Iterator[RasterReader]:
        """The raster of the batch, while the block runs."""
        with evaluating(self.model), torch.no_grad():
            torch.manual_seed(0)
            with record(
                self.model, folder, self._layers, overwrite=True, **self._recording
            ) as recording:
                self._run(self.model, self.batch)
                recording.finish()
        with recording.raster as raster:
            yield raster


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """While the block runs, the model is in evaluation mode; afterwards modes and random numbers
    are as before.
    """
    modes = {module: module.training for module in model.modules()}
    devices = sorted(
        {
            parameter.device.index or 0
            for parameter in model.parameters()
            if parameter.device.type == "cuda"
        }
    )
    model.eval()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _row(layer: RecordedLayer) -> dict[str, Any]:
    """Of one recorded layer, whose samples are read one by one."""
    fired, always = np.zeros(layer.shape, np.bool_), np.ones(layer.shape, np.bool_)
    for sample in range(len(layer)):
        spikes = layer[sample]
        fired |= spikes.any(axis=0)
        always &= spikes.all(axis=0)
    spikes_of_all = int(layer.counts.sum(dtype=np.int64))
    return {
        "layer": layer.name,
        "rate": spikes_of_all / (layer.counts.size * fired.size),
        "spikes": spikes_of_all / len(layer),
        "dead": 1 - float(fired.mean()),
        "saturated": float(always.mean()),
    }


def beside(sums: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Maps of samples, (N, H, W), in a row, by one scale of colour: (3, H', W') as loggers take
    pictures.
    """
    times = max(1, -(-SMALLEST // max(sums.shape[1:])))
    enlarged = sums.repeat(times, axis=1).repeat(times, axis=2)
    coloured = HEAT(enlarged / (enlarged.max() or 1))[..., :3]
    framed = np.pad(coloured, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=1.0)
    row = np.concatenate(list(framed), axis=1)[:, :-GAP]
    return np.rint(255 * row.transpose(2, 0, 1)).astype(np.uint8)


def draw_strip(maps: Mapping[int, NDArray[np.float32]], layer: str) -> ShownFigure:
    """The maps of a layer by epoch, (N, H, W) each; of many epochs some, the first and the last
    among them.
    """
    epochs = list(maps)
    if len(epochs) > MOST:
        epochs = [epochs[round(place)] for place in np.linspace(0, len(epochs) - 1, MOST)]
    largest = max(maps[epoch].max(initial=0) for epoch in epochs) or 1
    column_cells = ([Cell(heat / largest) for heat in maps[epoch]] for epoch in epochs)
    rows = [Row("", cells) for cells in zip_longest(*column_cells)]
    title = f"SAM of layer {printable(layer, LONGEST_NAME)} while it was trained"
    return figure_of(
        png_of(
            lambda path: draw_maps(path, title, ABOUT, [f"epoch {epoch}" for epoch in epochs], rows)
        )
    )
