"""The plain form of each special path of the kernels and of training, put in its place in a process
that is made for it.

The product has no switch. :func:`make_plain` changes what the modules hold before anything is
compiled, so it must come first in a process, and that process must have a folder of compiled code
of its own (NUMBA_CACHE_DIR): numba would take the code of the special path for that of the plain.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

KERNELS = "spikesam.backends.event.kernels"
SIMULATION = (
    "VGG11, batch 8",
    "VGG11, one image alone",
    "small network × 1, batch 8",
    "small network × 2, batch 8",
    "small network × 4, batch 8",
    "small network × 2, 1 % fire",
    "small network × 2, 70 % fire",
    "T = 500",
    "raster",
    "transformer",
    "residual",
    "recurrent",
)
TRAINING = ("training", "training, float32")
AVX2 = "avx2"


@dataclass(frozen=True)
class SpecialPath:
    """A special path: where it is, what stands in its place, and the workloads that use it.

    Parameters
    ----------
    place : its files or functions, in backends/event/kernels if nothing else is said
    plain : what the plain form does
    make_plain : puts the plain form in place, before anything else is imported
    workloads : those that are measured; see :mod:`scripts.ablation.arms`
    commands : whether whole commands are measured, too
    instructions : the best vector instructions that both forms use, "all" or "avx2"
    same_bits : False where sums of real numbers are rounded in another order
    """

    place: str
    plain: str
    make_plain: Callable[[], None]
    workloads: tuple[str, ...] = SIMULATION
    commands: bool = True
    instructions: str = "all"
    same_bits: bool = True


PATHS: dict[str, SpecialPath] = {}


def special_path(
    name: str, place: str, plain: str, **options: Any
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """A decorator of the function that puts the plain form of a path in its place."""

    def decorate(make: Callable[[], None]) -> Callable[[], None]:
        PATHS[name] = SpecialPath(place, plain, make, **options)
        return make

    return decorate


def make_plain(name: str) -> None:
    """Put the plain form of a special path in its place, for the rest of this process."""
    if any(module.startswith(f"{KERNELS}.") for module in sys.modules):
        raise RuntimeError(f"{name}: the kernels are imported already")
    PATHS[name].make_plain()


def kernel(name: str) -> Any:
    """A module of the kernels."""
    return importlib.import_module(f"{KERNELS}.{name}")


def replace(module: Any, name: str, plain: Any) -> None:
    """Set a name of a module, and of those that imported it from there."""
    importlib.import_module("spikesam.backends.event.backend")
    special = getattr(module, name)
    for importing in list(sys.modules.values()):
        if getattr(importing, "__name__", "").startswith("spikesam."):
            for key, value in list(vars(importing).items()):
                if value is special:
                    setattr(importing, key, plain)


# --- products ---


def _without_products() -> None:
    """Blocks of weights stay as large as they are with the instruction."""
    tiles = kernel("_tiles")
    lanes = tiles.HOW.lanes if tiles.HOW else 0
    tiles.HOW = None
    synapses = kernel("synapses")
    if lanes * 4 == max(synapses.BLOCKS):
        synapses.BLOCKS = (*synapses.BLOCKS, 0)  # of which lay_out leaves out the last


special_path(
    "products of bytes",
    "_tiles.py, _products.py, _costs.py",
    "weights are always added, spike by spike",
)(_without_products)
special_path(
    "products of bytes (AVX2)",
    "_tiles.py, _products.py, _costs.py",
    "weights are always added, spike by spike",
    instructions=AVX2,
)(_without_products)


@special_path(
    "spikes counted as vectors",
    "_products.py (count_words_of)",
    "eight channels at a time, as where channels are no multiple of 16",
)
def _count_bytes() -> None:
    products = kernel("_products")

    @kernel("compiled").internal
    def count_pooled(spikes: Any, pool: Any, padding: Any, counts: Any, further: bool) -> None:
        pitch, inputs = counts.shape[1:]
        corner = (padding[0] * pitch + padding[1]) * inputs
        flat, line = spikes.reshape(-1), pitch * inputs
        products.count_bytes(
            flat, spikes.shape, pool, counts.reshape(-1), corner, line, inputs, further
        )

    replace(products, "count_pooled", count_pooled)


@special_path(
    "costs measured at first use",
    "_costs.py (measured, shortest)",
    "constants, measured once on an AMD EPYC with VNNI",
)
def _constant_costs() -> None:
    costs = kernel("_costs")
    replace(costs, "measured", lambda outputs, make: costs.Seconds(*CONSTANT_SECONDS[outputs]))


CONSTANT_SECONDS = {  # row, pixel, neuron, product, by outputs of a block
    16: (4.8e-10, 3.8e-8, 1.5e-10, 4.0e-10),
    32: (6.0e-10, 2.6e-8, 1.0e-10, 2.7e-10),
    64: (6.0e-10, 2.5e-8, 0.7e-10, 3.1e-10),
}


@special_path(
    "several sources multiplied together",
    "steps.py (sources_multiplied)",
    "each source by itself",
    workloads=("transformer", "residual", "recurrent"),
    commands=False,
)
def _sources_apart() -> None:
    kernel("steps").HOW = None


# --- rows of weights ---


@special_path(
    "rows added as trees of bytes",
    "synapses.py (rows_of)",
    "rows added one by one to 32-bit sums, in a loop of numba",
)
def _rows_one_by_one() -> None:
    synapses = kernel("synapses")
    lay_out = synapses.lay_out

    def in_order(*arguments: Any, **options: Any) -> Any:
        laid_out = lay_out(*arguments, **options)
        rows = laid_out.weights
        if rows.dtype == np.uint8:
            pairs = rows.reshape(*rows.shape[:-1], rows.shape[-1] // 2, 2)
            rows = kernel("aligned").at_cache_line(pairs.swapaxes(-2, -1).reshape(rows.shape))
        return laid_out._replace(weights=rows)

    @kernel("compiled").internal
    def add_rows(
        size: int,
        weights: Any,
        base: int,
        events: Any,
        first: int,
        last: int,
        current: Any,
        target: int,
        add_to_current: bool,
    ) -> None:
        if not add_to_current:
            for output in range(size):
                current[np.uint64(target + output)] = 0
        for place in range(first, last):
            row = base * size + np.int64(np.uint32(events[place])) // weights.itemsize
            for output in range(size):
                weight = np.int32(np.int32(weights[np.uint64(row + output)]) - np.int32(128))
                here = np.uint64(target + output)
                current[here] = np.int32(current[here] + weight)

    replace(synapses, "lay_out", in_order)
    synapses.add_rows = add_rows


@special_path(
    "blocks of 16 and 32 outputs",
    "synapses.py (BLOCKS, add_rows)",
    "one block of 64 outputs",
)
def _one_block() -> None:
    synapses = kernel("synapses")
    synapses.BLOCKS = (64,)
    of_64 = synapses.add_rows_64

    @kernel("compiled").inlined
    def add_rows(
        size: int,
        weights: Any,
        base: int,
        events: Any,
        first: int,
        last: int,
        current: Any,
        target: int,
        add_to_current: bool,
    ) -> None:
        of_64(weights, base, events, first, last, current, target, add_to_current)

    synapses.add_rows = add_rows


@special_path(
    "silent neurons subtracted",
    "synapses.py (everything, mostly)",
    "spikes are added, however many fire",
)
def _never_silent() -> None:
    synapses = kernel("synapses")
    everything = synapses._everything

    def nothing(*arguments: Any) -> Any:
        return everything(*arguments)[:, :, :0]

    synapses._everything = nothing


# --- lists and bits ---


@special_path(
    "spikes listed by AVX-512 VBMI2",
    "events.py (compress_word)",
    "bit by bit, eight at a time",
)
def _visit_words() -> None:
    events = kernel("events")
    events.list_word = events.visit_word


@special_path(
    "events copied 16 at a time",
    "events.py (copy_events, list_window)",
    "one by one, in a loop of numba",
)
def _copy_one_by_one() -> None:
    events = kernel("events")

    @kernel("compiled").internal
    def list_window(
        listed: Any,
        ends: Any,
        top: int,
        rows: int,
        channels: int,
        units: int,
        window: Any,
        count: int,
        starts: Any,
    ) -> None:
        width = ends.shape[1] - 1
        above, below = max(0, top), min(len(ends), top + rows)
        for column in range(width):
            starts[column] = count
            for row in range(above, below):
                first, last = np.int64(ends[row, column]), np.int64(ends[row, column + 1])
                offset = np.int32((column * rows + row - top) * channels)
                target = np.uint64(count - first)
                for place in range(np.uint64(first), np.uint64(last)):
                    moved = np.int32(listed[place] + offset)
                    window[place + target] = np.int32(moved * np.int32(units))
                count += int(last - first)
        starts[width] = count

    replace(events, "list_window", list_window)


@special_path(
    "spikes counted 64 at a time",
    "events.py (count_spikes, any_fired)",
    "loops of numba over neurons",
)
def _count_neurons() -> None:
    events, internal = kernel("events"), kernel("compiled").internal

    @internal
    def count_spikes(spikes: Any) -> int:
        count: Any = np.int64(0)
        for fired in spikes.reshape(-1):
            count += fired
        return count

    @internal
    def any_fired(spikes: Any) -> bool:
        for fired in spikes.reshape(-1):  # noqa: SIM110  # Numba compiles no generators
            if fired:
                return True
        return False

    replace(events, "count_spikes", count_spikes)
    replace(events, "any_fired", any_fired)


@special_path(
    "squares of bits transposed",
    "events.py (pack_squares, transpose)",
    "the neurons that fired, one by one, as where maps have odd sizes",
)
def _pack_one_by_one() -> None:
    events = kernel("events")

    @kernel("compiled").internal
    def pack_squares(flat: Any, start: int, pixels: int, channels: int, packed: Any) -> None:
        n_pixels = len(flat) // channels
        for channel in range(channels):
            first = (channel * pixels + start) // 8
            packed[first : first + n_pixels // 8] = 0
        for pixel in range(n_pixels):
            for first in range(0, channels, events.WORD):
                span = min(events.WORD, channels - first)
                word = events.word_of(flat, pixel * channels + first, span)
                while word:
                    place = events.trailing_zeros(word)
                    bit = np.uint64((first + np.int64(place)) * pixels + start + pixel)
                    mask = np.uint8(128) >> np.uint8(bit & np.uint64(7))
                    packed[bit >> np.uint64(3)] |= mask
                    word &= word - np.uint64(1)

    events.pack_squares = pack_squares


@special_path(
    "bits unpacked 64 at a time",
    "events.py (load_bits, store_spikes)",
    "bit by bit, in a loop of numba",
)
def _unpack_bits() -> None:
    events, compiled = kernel("events"), kernel("compiled")

    @compiled.internal
    def unpack_spikes(packed: Any, spikes: Any) -> None:
        steps, height, width, channels = spikes.shape
        for step in range(steps):
            flat = spikes[step].reshape(-1)
            for channel in range(channels):
                for pixel in range(height * width):
                    bit = np.uint64(channel * height * width + pixel)
                    byte = packed[step, bit >> np.uint64(3)]
                    shift = np.uint8(np.uint64(7) - (bit & np.uint64(7)))
                    flat[np.uint64(pixel * channels + channel)] = (byte >> shift) & np.uint8(1)

    unpack = compiled.entry(unpack_spikes)
    replace(events, "unpack", unpack)
    replace(events, "unpack_spikes", unpack_spikes)


# --- neurons ---


@special_path(
    "narrow neurons",
    "neurons.py (narrow_membrane, set_rounding)",
    "neurons of integers in float64",
)
def _wide_neurons() -> None:
    neurons = kernel("neurons")
    constants_of = neurons.constants_of

    def wide(*arguments: Any, **options: Any) -> Any:
        return constants_of(*arguments, **options)._replace(narrow=False)

    replace(neurons, "constants_of", wide)


@special_path(
    "vectors of 512 bits",
    "neurons.py (use_wide_vectors)",
    "vectors as LLVM chooses them",
)
def _vectors_of_llvm() -> None:
    neurons = kernel("neurons")

    @kernel("compiled").internal
    def choose_nothing() -> None:
        return None

    neurons.use_wide_vectors = choose_nothing


@special_path(
    "positions computed as one",
    "neurons.py (repeats)",
    "a loop over the channels of each position",
)
def _positions_apart() -> None:
    kernel("neurons").TOGETHER = 1


# --- inputs of other kinds ---


@special_path(
    "attention in kernels",
    "attention.py",
    "products of matrices in NumPy, as other products of spikes",
    workloads=("transformer",),
    commands=False,
)
def _attention_in_numpy() -> None:
    kernel("layer")._heads_of_bits = lambda layer_input, shape: 0


@special_path(
    "relays",
    "_relay.py",
    "the identity as a convolution of 1×1",
    workloads=("transformer", "residual", "recurrent"),
    commands=False,
)
def _identity_as_convolution() -> None:
    network = importlib.import_module("spikesam.backends.network")
    layer, dataclasses = kernel("layer"), importlib.import_module("dataclasses")
    laid_out = layer._laid_out

    def convolved(layer_input: Any, shape: Any, costs: Any) -> Any:
        if isinstance(layer_input.synapse, network.Identity):
            dtype = np.int8 if layer_input.fixed else np.float32
            diagonal = np.eye(layer_input.arriving(shape)[0], dtype=dtype)[:, :, None, None]
            layer_input = dataclasses.replace(layer_input, synapse=network.Conv(diagonal))
        return laid_out(layer_input, shape, costs)

    layer._laid_out = convolved
    layer.joined_gains = lambda *_: None


@special_path(
    "relays to different outputs joined",
    "_relay.py (joined_gains)",
    "each of them an input by itself",
    workloads=("transformer", "residual", "recurrent"),
    commands=False,
)
def _relays_apart() -> None:
    kernel("layer").joined_gains = lambda *_: None


# --- calls ---


@special_path(
    "all layers of a chain in a call",
    "chain.py (Chain), backend.py (_chain)",
    "a call for each layer and 32 steps",
)
def _no_chain() -> None:
    backend = importlib.import_module("spikesam.backends.event.backend")
    backend._PreparedNetwork._chain = lambda self, parts: None


@special_path(
    "parts of a layer in threads",
    "layer.py (parts), steps.py (part)",
    "a sample in one thread",
)
def _one_part() -> None:
    kernel("layer").LayerKernel.parts = lambda self, max_parts: [self._part(0, self.height)]


@special_path(
    "calls compiled in advance",
    "chain.py (Inputs, freeze)",
    "numba looks at the types of the arguments in each call",
)
def _dispatched_calls() -> None:
    chain = kernel("chain")
    make = chain.Inputs.__init__

    def make_dispatched(self: Any, inputs: Any) -> None:
        make(self, inputs)
        self.run = chain.run_layers

    chain.Inputs.__init__ = make_dispatched


@special_path(
    "calls kept for all samples",
    "backend.py (_Calls), spikes.py (keeps)",
    "arguments put together for each sample",
    workloads=("transformer", "residual", "recurrent"),
    commands=False,
)
def _new_calls() -> None:
    spikes = importlib.import_module("spikesam.backends.event._spikes")
    spikes.GraphSpikes.keeps = lambda self, arrays: False


@special_path(
    "samples simulated in a row",
    "backend.py (HANDED_OVER)",
    "a task for each sample",
)
def _single_samples() -> None:
    backend: Any = importlib.import_module("spikesam.backends.event.backend")
    backend.HANDED_OVER = 0


# --- compiling ---


@special_path(
    "compiler classes",
    "compiled.py (_Part, _Whole)",
    "numba's own",
)
def _compiler_of_numba() -> None:
    compiled = kernel("compiled")
    compiled.PART, compiled.WHOLE = {}, {}


@special_path(
    "cache of compiled code",
    "cache.py",
    "numba's own: no check of who wrote it, and each process compiles",
)
def _cache_of_numba() -> None:
    numba = importlib.import_module("numba")
    kernel("cache").cached = lambda **options: numba.njit(cache=True, **options)


# --- training ---


@special_path(
    "fused neurons of training",
    "pipeline/training/_fused.py",
    "operations of PyTorch",
    workloads=TRAINING,
    commands=False,
    same_bits=False,
)
def _unfused() -> None:
    trainable = importlib.import_module("spikesam.pipeline.training.trainable")
    make = trainable.SpikingNetwork.__init__

    def make_unfused(self: Any, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options | {"fused": False})

    trainable.SpikingNetwork.__init__ = make_unfused


@special_path(
    "rows added for spikes in training",
    "pipeline/training/_spike_convolution.py",
    "dense convolutions of PyTorch",
    workloads=TRAINING,
    commands=False,
    same_bits=False,
)
def _dense_convolutions() -> None:
    trainable = importlib.import_module("spikesam.pipeline.training.trainable")
    sparse = importlib.import_module("spikesam.pipeline.training._spike_convolution")
    assert trainable
    replace(sparse, "pays", lambda spikes, weight: False)
