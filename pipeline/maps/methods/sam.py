"""Spike Activation Maps (Kim & Panda 2021) of a raster's samples: where layers attend, from the
spikes alone.

The equations, and what γ does in them: :mod:`spikesam.pipeline.maps.sam`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.trace import GAMMA, compile_maps, maps_of_packed, spike_trace
from spikesam.common.arguments import Option, checked_arguments
from spikesam.common.constraints import is_tensor
from spikesam.common.errors import InputError
from spikesam.common.parallel import workers_within_memory
from spikesam.pipeline.maps.layers import laid_out, map_layers
from spikesam.pipeline.maps.method import (
    Explained,
    Explainer,
    RasterMethod,
    StepChoice,
    raster_explainer,
)
from spikesam.pipeline.maps.sam import (
    AnyVariant,
    check_packed,
    check_parameters,
    compile_kernel,
    compile_sums,
    spike_activation_maps,
    spike_activation_sum,
)
from spikesam.recordings.maps.schema import MAP, MapHeader, Parameter
from spikesam.recordings.raster.batch import as_bits, pack
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.schema import MAX_DATASET_BYTES

WORKERS = 4  # writing keeps up with no more


@dataclass(frozen=True)
class SpikeActivationMaps(RasterMethod):
    """Where neurons fire in short intervals, whatever the answer."""

    name = "sam"
    title = "Spike Activation Map"
    shows = "Where neurons fire in short intervals"
    speaks_for = "none"
    label = "SAM"
    on_page = "spikes"
    parameters: ClassVar[dict[str, type]] = {
        "gamma": float,
        "variant": str,
        "include_current": bool,
    }

    gamma: Annotated[
        float, Option("decay of the kernel per step, ≥ 0; 0 counts all earlier spikes alike")
    ] = GAMMA
    variant: Annotated[
        AnyVariant,
        Option(
            "the paper's equations, the authors' published script, or integers as in Lava's graph"
        ),
    ] = "paper"
    include_current: Annotated[bool, Option("let a spike count itself, not only earlier ones")] = (
        True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parameters(self.gamma, self.include_current, self.variant)

    @classmethod
    def caption(cls, parameters: Mapping[str, Parameter]) -> str:
        """The way in which SAM weighs spikes."""
        variant = "" if parameters["variant"] == "paper" else f", {parameters['variant']}"
        return f"γ = {parameters['gamma']:g}{variant}."

    def of_raster(
        self, raster: RasterReader, layers: tuple[LayerSpec, ...], step_choice: StepChoice
    ) -> Explainer:
        """See :class:`RasterMethod`."""
        if self.variant == "fixed":
            for layer in layers:
                spike_trace(
                    self.gamma, laid_out(layer.shape)[0], raster.timesteps
                )  # refuses what could overflow
        steps, _ = step_choice
        last = steps[-1] + 1 if steps else 0
        map_bytes = {
            layer: MAP.itemsize * last * math.prod(laid_out(layer.shape)[1:]) for layer in layers
        }
        largest = max(layers, key=map_bytes.__getitem__)
        if map_bytes[largest] > MAX_DATASET_BYTES:
            raise InputError(
                f"{raster.file_name}: maps of {largest.name} up to step {last - 1} take "
                f"{map_bytes[largest]:,} bytes a "
                f"sample, expected at most {MAX_DATASET_BYTES:,}; keep earlier steps, or none"
            )
        parameters = {name: kind(getattr(self, name)) for name, kind in self.parameters.items()}
        spatial = map_layers(raster.header, layers)
        header = MapHeader(
            self.name, raster.raster_digest, parameters, raster.timesteps, spatial, *step_choice
        )

        def explain(sample: int) -> Explained:
            prediction = int(raster.predictions[sample])
            packed = (raster.packed(layer, sample) for layer in layers)
            return explain_spikes(header, layers, packed, sample, prediction)

        working = max(map_bytes[layer] + raster.timesteps * layer.step_bytes for layer in layers)
        workers = workers_within_memory(header.sample_bytes + working, WORKERS)
        return raster_explainer(raster, header, explain, workers, self._compile_kernels)

    def _compile_kernels(self) -> None:
        if self.variant == "fixed":
            compile_maps()
        else:
            compile_kernel()
            compile_sums()


@checked_arguments
def sam(
    spikes: Any,
    gamma: float = GAMMA,
    *,
    include_current: bool = True,
    variant: AnyVariant = "paper",
) -> Any:
    """Spike Activation Maps of one layer's spikes, from an array.

    Parameters
    ----------
    spikes : (T, B, C, H, W) of 0 and 1 — steps, samples, channels, rows, columns; a NumPy array or
        torch tensor, bool or any other dtype
    gamma, include_current, variant : see `spike_activation_map`; "fixed" is the paper's kernel
        in integers, see :func:`fixed_maps`

    Returns
    -------
    (T, B, H, W) float32, dimensionless, ≥ 0 — an array, or a tensor on the device of `spikes`; the
        numbers are those that :func:`spikesam.explain` stores step by step

    Raises
    ------
    InputError : if `spikes` is not 5-D or holds other values, gamma is negative or not finite, or
        the variant is none

    References
    ----------
    Kim & Panda 2021, Eq. 12-14.

    Examples
    --------
    One neuron that fires at steps 0 and 1: its second spike counts itself and what is left of the
    first, exp(-γ).

    >>> import numpy as np
    >>> import spikesam
    >>> spikes = np.array([1, 1, 0]).reshape(3, 1, 1, 1, 1)
    >>> spikesam.sam(spikes, gamma=0.5).ravel()
    array([1.       , 1.6065307, 0.       ], dtype=float32)
    """
    check_parameters(float(gamma), include_current, variant)
    bits = as_bits(spikes, lambda place: "SAM" + (f", index {place}" if place else ""))
    if bits.ndim != 5 or not bits.size:
        raise InputError(
            f"SAM: got spikes of shape {bits.shape}, expected (T, B, C, H, W), not empty; one "
            "sample is spikes[:, None]"
        )
    packed, shape = pack(bits), bits.shape[2:]
    if variant == "fixed":
        of_samples = [fixed_maps(sample, shape, float(gamma))[0] for sample in packed]
    else:
        options: dict[str, Any] = {"include_current": include_current, "variant": variant}
        of_samples = [
            spike_activation_maps(sample, shape, [gamma], **options)[0] for sample in packed
        ]
    maps = np.stack(of_samples, axis=1)
    if not is_tensor(spikes):
        return maps
    torch: Any = sys.modules["torch"]  # a tensor was given, so it is there; arrays do without
    return torch.from_numpy(maps).to(spikes.device)


def explain_spikes(
    header: MapHeader,
    layers: Sequence[LayerSpec],
    packed: Iterable[NDArray[np.uint8]],
    sample: int,
    prediction: int,
) -> Explained:
    """SAM of one sample, from packed spikes (T, bytes) of each layer; one layer is taken at a
    time.
    """
    kernel = SpikeActivationMaps(**header.parameters)  # type: ignore[arg-type]
    steps = list(header.steps) if sample < header.stepped else []
    last = steps[-1] + 1 if steps else 0  # later spikes change none of the maps that are kept
    sums, maps = dict[str, NDArray[np.float32]](), dict[str, NDArray[np.float32]]()
    for layer, of_layer, spikes in zip(layers, header.layers, packed, strict=True):
        summed = of_layer.steps_that_matter, last
        sums[layer.name], at_steps = _explain_layer(spikes, laid_out(layer.shape), kernel, *summed)
        if steps:
            all_steps = len(at_steps) == len(steps)  # then there is no need for a copy
            maps[layer.name] = at_steps if all_steps else at_steps[steps]
    return Explained(prediction, sums, maps)


def _explain_layer(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    kernel: SpikeActivationMaps,
    summed: int,
    last: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The sum over the first `summed` steps, (H, W), and the maps of the first `last` steps, (last,
    H, W).
    """
    if kernel.variant == "fixed":
        at_steps, of_sum = fixed_maps(packed, shape, kernel.gamma, summed, last)
        return of_sum, at_steps
    gamma, variant, current = kernel.gamma, kernel.variant, kernel.include_current
    of_sum = spike_activation_sum(
        packed, shape, gamma, summed, include_current=current, variant=variant
    )
    if not last:
        return of_sum, np.empty((0, *shape[1:]), np.float32)
    (maps,) = spike_activation_maps(
        packed[:last], shape, [gamma], include_current=current, variant=variant
    )
    return of_sum, maps


def fixed_maps(
    packed: NDArray[np.uint8],
    shape: tuple[int, int, int],
    gamma: float,
    summed: int | None = None,
    steps: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Integer SAM of packed spikes (T, bytes): maps of the first `steps`, (steps, H, W) float32,
    and their sum, (H, W).

    The first `summed` steps, all if not given, are summed before maps are rounded to 16 bits.
    """
    check_packed(packed, shape)
    timesteps = len(packed)
    summed, steps = (timesteps if count is None else count for count in (summed, steps))
    if not (1 <= summed <= timesteps and 0 <= steps <= timesteps):
        raise InputError(
            f"steps: got {summed} and {steps}, expected at most {timesteps}, the steps of these "
            "spikes"
        )
    trace = spike_trace(gamma, shape[0], timesteps)
    of_steps, of_sum = maps_of_packed(packed, shape, trace, summed, steps)
    return trace.of_steps(of_steps).reshape(-1, *shape[1:]), trace.of_sum(of_sum).reshape(shape[1:])


@dataclass(frozen=True)
class GraphMaps(SpikeActivationMaps):
    """Where neurons fire in short intervals; `run --backend lava --keep maps` alone makes these
    maps.
    """

    name = "graph-sam"
    title = "Spike Activation Map, formed in the network's graph"
    source = "network_sha256"
    parameters: ClassVar[dict[str, type]] = {"gamma": float, "variant": str, "seed": int}
    offline = False
