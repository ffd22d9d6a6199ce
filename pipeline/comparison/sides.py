"""The two sides of `diff`: a raster, or a model that is simulated on the raster's own input or
data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.base import unpacked
from spikesam.backends.network import PIXEL_LIMIT, Network
from spikesam.backends.network.table import by_sides
from spikesam.common.errors import InputError
from spikesam.pipeline.networks.recorded import BESIDE, loaded_network
from spikesam.recordings.files import has_hdf5_name, has_hdf5_signature, raster_file
from spikesam.recordings.raster.reader import RasterReader

if TYPE_CHECKING:
    from spikesam.pipeline.images.samples import Samples
    from spikesam.pipeline.networks.checkpoint import Checkpoint

    Model: TypeAlias = Network | Checkpoint

GIVE_DATA = "; give {data}, which its samples are made of"
EXPECTED = "the folder of a finished run, a raster or a network"
WHAT = "diff: got {}, expected a raster or a network, or the name or file of one"
# sample, network, whether numbers are as they are, not rounded -> its input: (T, C, H, W) or (C, H,
# W)
Driven = Callable[[int, Network, bool], NDArray[Any]]


def opened_side(source: Any, resources: ExitStack) -> RasterReader | Model:
    """A raster, closed by `resources` where it was opened here; or a model; else an InputError."""
    if isinstance(source, RasterReader):
        return source
    if not isinstance(source, (str, PathLike)):
        return loaded_network(source, WHAT)
    path = raster_file(Path(source), EXPECTED)
    return (
        resources.enter_context(RasterReader(path))
        if is_raster(path)
        else loaded_network(source, WHAT)
    )


def is_raster(path_given: Path) -> bool:
    """True of a run's folder, and of a file called as rasters are or that begins as one and is no
    foreign network.
    """
    from spikesam.pipeline.networks.checkpoint_files import FOREIGN

    path = raster_file(path_given, EXPECTED)
    return has_hdf5_name(path) or (path.suffix not in FOREIGN and has_hdf5_signature(path))


def network_beside(rasters: Sequence[RasterReader]) -> Model | None:
    """The model in the first file that lies beside a raster; None if there is none."""
    paths = [raster.path.with_name(BESIDE) for raster in rasters if raster.path is not None]
    return next((loaded_network(path, WHAT) for path in paths if path.is_file()), None)


def plain_network(model: Model) -> Network:
    """The network of a checkpoint, or itself."""
    return model if isinstance(model, Network) else model.network


def raster_words(raster: RasterReader, *, named: bool = True) -> str:
    """A raster in a few words: which, what simulated it, in which precision."""
    header = raster.header
    precision = "fixed point" if header.precision == "fixed" else header.precision
    by = f"{header.backend or 'unknown'}, {precision}"
    return f"{raster.file_name} ({by})" if named else by


def samples_of(data: Any, model: Model | None, raster: RasterReader) -> Samples:
    """The samples of a raster, made of its data; refused if they fit no network, or there is none
    to take them.
    """
    from spikesam.pipeline.images.samples import Samples
    from spikesam.pipeline.networks.open_samples import open_samples

    if model is None:
        raise InputError("data needs a network: diff(a, b, network, data=…)")
    count = None if isinstance(data, Samples) else raster.n_samples
    return open_samples(data, model, samples=count, seed=raster.header.seed)


def simulated(
    model: Model, raster: RasterReader, source: Samples | None, backend: str, precision: str
) -> RasterReader:
    """The spikes of a model on the samples of a raster; an InputError if what drives it is not
    known.
    """
    from spikesam.pipeline.engine.simulate import simulate
    from spikesam.pipeline.images.samples import InputSteps

    if source is not None:
        return simulate(
            model, source, backend=backend, precision=precision, seed=raster.header.seed
        )
    network = plain_network(model)
    if not network.spiking_input:
        raise InputError(
            f"{raster.file_name}: holds spikes, and a current drives the model", GIVE_DATA
        )
    if "input" not in raster:
        raise InputError(
            f"{raster.file_name}: does not hold the spikes of its input, which the model needs",
            GIVE_DATA,
        )
    spec = raster.layer("input")
    if spec.shape != network.input_shape:
        raise InputError(
            f"{raster.file_name}: its input is {by_sides(spec.shape)}, that of the model "
            f"{by_sides(network.input_shape)}; "
            "expected a raster of that model"
        )
    values: Any = RecordedInput(raster, range(raster.n_samples))
    steps = InputSteps(raster.header.dataset, raster.samples, values)
    return simulate(network, steps, backend=backend, precision=precision)


class RecordedInput:
    """The input spikes of a raster as an array (T, N, C, H, W) bool, of which some samples are read
    at a time.
    """

    dtype = np.dtype(np.bool_)

    def __init__(self, raster: RasterReader, samples: range) -> None:
        self._raster, self._samples = raster, samples
        self.shape = (raster.timesteps, len(samples), *raster["input"].shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: tuple[slice, slice | Sequence[int]]) -> Any:
        if isinstance(chosen[1], slice):
            return RecordedInput(self._raster, self._samples[chosen[1]])
        return np.stack(
            [self._raster["input"][self._samples[sample]] for sample in chosen[1]], axis=1
        )


def what_drives(source: Samples | None, seed: int) -> Driven | None:
    """The input of a network by sample; None if it is not known."""
    if source is None:
        return None

    def of_sample(sample: int, network: Network, exact: bool) -> NDArray[Any]:
        if exact:
            (numbers,) = source.part(range(sample, sample + 1)).numbers()
            steps = numbers[0]
            if numbers.ndim == 5:  # at every step, and then nothing
                silent = np.zeros((network.timesteps - len(numbers), *numbers.shape[2:]))
                steps = np.concatenate([numbers[:, 0], silent])
            return steps * np.float64(PIXEL_LIMIT / network.input_range)
        (batch,) = source.encoded([sample], network, seed, 1)
        spikes: NDArray[Any] = unpacked(batch)[..., 0, :, :, :]
        return spikes

    return of_sample
