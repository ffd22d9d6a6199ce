"""Random networks: chains of layers, and layers that read several others, themselves too, with
delays, of channels as well, and signs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.network import (
    LIF,
    Attention,
    Conv,
    Dense,
    Encoder,
    FixedLIF,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
    Synapse,
    pair,
)
from spikesam.backends.network.quantise import quantise

LONGEST_DELAY = 6
# Maps of layers; from each to each other a convolution leads. The input may be larger.
SIDES = (((4, 6), (2, 3), (1, 1)), ((5, 7), (5, 3), (1, 1)), ((3, 2), (7, 4), (1, 1)))
INPUT_SIDES = (3, 4, 5, 8, 12)
DENSITIES = (0.0, 0.01, 0.1, 0.3, 0.5, 0.51, 0.7, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Numbers:
    """Where the numbers of a network come from: weights of a shape, neurons and gains of some
    channels, readouts of some neurons.
    """

    weights: Callable[..., NDArray[Any]]
    neurons: Callable[[np.random.Generator, int], Any]
    gain: Callable[[np.random.Generator, tuple[int, int]], Any]
    shifts: tuple[int, ...]
    channels: tuple[int, ...]
    pools: tuple[int, ...]  # the first two, where several sources are summed
    readout: Callable[[np.random.Generator, int, int], Readout]


def quarters(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Multiples of 1/4, whose sums float32 holds exactly, in any order: thresholds are met, not
    nearly met.
    """
    return (rng.integers(-2, 4, shape) / 4).astype(np.float32)


def constant_current() -> Network:
    """A constant current, into a layer that reads itself and the last one; one in between is passed
    by.
    """
    rng = np.random.default_rng(4)
    given = Input(Conv(quarters(rng, 4, 1, 3, 3), padding=1))
    loops = (
        Input(quarters(rng, 4, 4, 1, 1), "conv1", gain=-1),
        Input(Identity(), Source("conv3", 2), [1, 0, 1, 2]),
    )
    layers = (
        Layer("conv1", (given, *loops), LIF(0.5)),
        Layer("conv2", Input(Conv(quarters(rng, 4, 4, 3, 3), padding=1)), LIF(0.5)),
        Layer(
            "conv3",
            Input(Conv(quarters(rng, 4, 4, 3, 3), padding=1), ("conv2", Source("conv1", 3))),
            LIF(0.5),
        ),
    )
    return quantise(
        Network((1, 4, 6), 9, layers, Readout(quarters(rng, 3, 96)), "constant-current")
    )


def float_neurons(rng: np.random.Generator, channels: int) -> LIF:
    """Constants that are multiples of 1/4 or powers of 1/2, so that few bits are needed for what is
    left.
    """
    leak, threshold = rng.choice((0.0, 0.5, 1.0)), rng.choice((0.5, 0.75, 2.0), channels)
    reset = str(rng.choice(("subtract", "zero")))
    reset_by = (
        rng.integers(0, 5, channels) / 4 if reset == "subtract" and rng.random() < 0.3 else None
    )
    lasting = rng.choice((0.5, 1.0)) if rng.random() < 0.3 else 0.0
    return LIF(
        leak,
        threshold,
        bias=rng.integers(-1, 3, channels) / 4,
        reset=reset,
        reset_by=reset_by,
        fires_at_threshold=bool(rng.random() < 0.5),
        synaptic_leak=lasting,
    )  # type: ignore[arg-type]


def bytes_of_any_size(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    """Any, or the largest there are, all of one sign or of both."""
    extremes: list[Any] = [
        127,
        -127,
        rng.choice((-127, 127), shape),
        rng.integers(-127, 128, shape),
    ]
    return np.full(shape, extremes[rng.integers(0, 4)], np.int8)


def fixed_neurons(rng: np.random.Generator, channels: int) -> FixedLIF:
    """Constants of every kind."""
    bias = rng.integers(-3000, 6000, (1, channels), np.int32)
    decay = rng.choice((0, 41, 4096), channels if rng.random() < 0.3 else None)
    reset, at_threshold = rng.choice(("subtract", "zero")), rng.random() < 0.5
    reset_by = (
        rng.integers(0, 6000, channels) if reset == "subtract" and rng.random() < 0.3 else None
    )
    synaptic_decay = rng.choice((0, 1000, 4096), channels) if rng.random() < 0.3 else 4096
    threshold = (
        rng.integers(1, 9000, channels if rng.random() < 0.5 else None)
        if rng.random() < 0.3
        else 4096
    )
    lowest = (
        -rng.integers(0, 9000, channels if rng.random() < 0.5 else None)
        if rng.random() < 0.3
        else None
    )
    return FixedLIF(
        decay,
        bias=bias,
        reset=str(reset),
        reset_by=reset_by,
        fires_at_threshold=at_threshold,
        synaptic_decay=synaptic_decay,
        threshold=threshold,
        min_v_mem=lowest,
    )  # type: ignore[arg-type]


def fixed_readout(rng: np.random.Generator, neurons: int, timesteps: int) -> Readout:
    """Three classes; the sums may leak, and have a bias at every step or at none."""
    bias = rng.integers(-50, 50, (timesteps, 3), np.int32) if rng.random() < 0.5 else 0
    leak = float(rng.choice((1, 0.5, 0)))
    return Readout(bytes_of_any_size(rng, 3, neurons), leak=leak, bias=bias)


FIXED = Numbers(
    bytes_of_any_size,
    fixed_neurons,
    # Beside the weights' currents those of spikes alone are small, so some gains are larger.
    lambda rng, shape: rng.integers(-20, 60, shape, np.int32) * np.int32(rng.choice((1, 32))),
    (0, 2, 6),
    (1, 3, 5, 64, 65, 67),
    (1, 2, 3, 4),
    fixed_readout,
)
FLOAT = Numbers(
    quarters,
    float_neurons,
    lambda rng, shape: rng.integers(-4, 5, shape) / 4,
    (0,),
    (1, 3),
    (1, 2),
    lambda rng, neurons, timesteps: Readout(quarters(rng, 3, neurons)),
)


@dataclass(frozen=True)
class Plan:
    """The maps of a network before it has inputs: names and shapes, the input's first; what may be
    in it.
    """

    numbers: Numbers
    timesteps: int
    shapes: tuple[tuple[int, ...], ...]
    sides: tuple[tuple[int, int], ...]
    current_input: bool
    products: bool
    loops: bool

    @property
    def names(self) -> tuple[str, ...]:
        return "input", *(f"layer{number}" for number in range(1, len(self.shapes)))

    def last_source(self, place: int) -> int:
        """The last layer that a layer may read."""
        return len(self.shapes) - 1 if self.loops else place

    def spiking(self, place: int) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the spikes that a layer may read."""
        sources = list(zip(self.names, self.shapes, strict=True))
        return sources[self.current_input : self.last_source(place) + 1]


@st.composite
def graphs(
    draw: st.DrawFn,
    numbers: Numbers = FIXED,
    encoder: Encoder = "spikes",
    products: bool = True,
    loops: bool = True,
    chain: bool = False,
    fewest_steps: int = 3,
) -> Network:
    """One to four layers; each reads an earlier one, and up to two others; up to four sources are
    summed each time.

    Maps have odd sides, kernels 1 … 5, strides, paddings, poolings of spikes, and maxima of
    currents in windows that overlap, leave something out or reach past a border.

    With `products` some sources are spread, rows and columns are taken in any order, some sources
    are multiplied (attention), and some layers have no weights; without `loops` no layer reads a
    later one; in a `chain` each reads the one before alone, through weights and without delay.

    The numbers of a current are few, and 127 is the largest: sums of them are exact, too, in fixed
    point and float32.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sides = draw(st.sampled_from(SIDES))
    few_channels = st.sampled_from(
        draw(st.lists(st.sampled_from(numbers.channels), min_size=1, max_size=3, unique=True))
    )
    shapes = [
        (draw(few_channels), *draw(st.sampled_from(sides))) for _ in range(draw(st.integers(2, 5)))
    ]
    if draw(st.booleans()):
        shapes[0] = shapes[0][0], *draw(st.tuples(*[st.sampled_from(INPUT_SIDES)] * 2))
    current_input = encoder != "spikes"
    if current_input:
        shapes[0] = (min(shapes[0][0], 3), *shapes[0][1:])
    plan = Plan(
        numbers,
        draw(st.integers(fewest_steps, 10)),
        tuple(shapes),
        sides,
        current_input,
        products and not chain,
        loops and not chain,
    )
    layers, unread = [], {*range(1, len(shapes) - 1)}
    for place in range(1, len(shapes)):
        if chain:
            reads = [place - 1]
        else:
            is_last = place == len(shapes) - 1
            reads = sorted(unread) or [place - 1] if is_last else [draw(st.integers(0, place - 1))]
            reads += draw(st.lists(st.integers(0, plan.last_source(place)), max_size=2))
            unread -= {read for read in reads if read < place}
            reads = draw(st.permutations(reads))
        inputs = [
            draw(chained(plan, place, rng) if chain else an_input(plan, place, read, number, rng))
            for number, read in enumerate(reads)
        ]
        layers.append(Layer(plan.names[place], inputs, numbers.neurons(rng, shapes[place][0])))
    readout = numbers.readout(rng, int(np.prod(shapes[-1])), plan.timesteps)
    input_range = 254.0 if current_input else 2.0
    return Network(shapes[0], plan.timesteps, tuple(layers), readout, encoder, input_range)


def chained(plan: Plan, place: int, rng: np.random.Generator) -> st.SearchStrategy[Input]:
    """An input with weights, of the layer before."""
    of_input = gains(plan, place, rng)
    synapse = with_weights(plan, plan.shapes[place - 1], plan.shapes[place], 1, rng)
    return st.builds(lambda synapse, of_input: Input(synapse, **of_input), synapse, of_input)


@st.composite
def gains(draw: st.DrawFn, plan: Plan, place: int, rng: np.random.Generator) -> dict[str, Any]:
    """The gain, for all steps or for each, and the shift of an input."""
    rows = draw(st.sampled_from((1, plan.timesteps)))
    gain = plan.numbers.gain(rng, (rows, plan.shapes[place][0]))
    return {"gain": gain, "shift": draw(st.sampled_from(plan.numbers.shifts))}


@st.composite
def an_input(
    draw: st.DrawFn, plan: Plan, place: int, read: int, number: int, rng: np.random.Generator
) -> Input:
    """An input of a layer, of which one source is `read`."""
    shape, goal = plan.shapes[read], plan.shapes[place]
    of_current = plan.current_input and read == 0
    products = plan.products and not of_current
    of_input = draw(gains(plan, place, rng))
    if products and may_multiply(plan, place, read) and draw(st.integers(0, 2)) == 0:
        return draw(multiplied_sources(plan, place, read, of_input))
    copies: dict[str, Any] = {"spread": (1, 1, 1)}
    if products and draw(st.integers(0, 3)) == 0:
        copies["spread"] = draw(st.sampled_from(spreads(shape, plan.sides)))
        shape = tuple(side * times for side, times in zip(shape, copies["spread"], strict=True))
    if plan.products and draw(st.integers(0, 3)) == 0:
        counts = draw(st.sampled_from(plan.sides))
        for axis, side, count in zip(("rows", "columns"), shape[1:], counts, strict=True):
            copies[axis] = tuple(rng.integers(-1, side, count).tolist())
        shape = (shape[0], *counts)
    sources = [draw(a_source(plan, read, rng))]
    if not of_current:
        alike = [
            index
            for index, (name, other) in enumerate(zip(plan.names, plan.shapes, strict=True))
            if (name, other) in plan.spiking(place) and other == plan.shapes[read]
        ]
        count = draw(st.sampled_from((0, 0, 1, 2, 3)))
        others = draw(st.lists(st.sampled_from(alike), min_size=count, max_size=count))
        sources += [draw(a_source(plan, other, rng)) for other in others]
        sources = draw(st.permutations(sources))
    needs_weights = of_current or (number == 0 and not plan.products)
    if shape == goal and not needs_weights and draw(st.booleans()):
        return Input(Identity(**copies), sources, **of_input)
    signed = sources[0].sign == -1 or of_current
    synapse = draw(with_weights(plan, shape, goal, 2 if signed else len(sources), rng, **copies))
    return Input(synapse, sources, **of_input)


@st.composite
def a_source(draw: st.DrawFn, plan: Plan, read: int, rng: np.random.Generator) -> Source:
    """A layer with a delay, for all channels or for each, and a sign; a current is added."""
    longest = max(1, min(LONGEST_DELAY, plan.timesteps - 1))
    if plan.current_input and read == 0:
        return Source(plan.names[read], draw(st.integers(1, longest)))
    delay: Any = draw(st.integers(1, longest))
    if draw(st.integers(0, 3)) == 0:
        delay = tuple(rng.integers(1, longest + 1, plan.shapes[read][0]).tolist())
    return Source(plan.names[read], delay, draw(st.sampled_from((1, 1, -1))))


@st.composite
def with_weights(
    draw: st.DrawFn,
    plan: Plan,
    shape: tuple[int, ...],
    goal: tuple[int, ...],
    sources: int,
    rng: np.random.Generator,
    **copies: Any,
) -> Synapse:
    """A convolution or dense weights from maps to maps."""
    numbers = plan.numbers
    pools = numbers.pools if sources == 1 else numbers.pools[:2]
    plain = draw(st.booleans())
    ways = []
    for side, end in zip(shape[1:], goal[1:], strict=True):
        possible = along(side, end, pools)
        without_windows = [way for way in possible if way[4:] == WINDOWS[0]]
        ways.append(
            draw(st.sampled_from(without_windows if plain and without_windows else possible))
        )
    pool, stride, padding, kernel, *window = zip(*ways, strict=True)
    poolings = ["average", *(["sum"] if plan.products else []), *["max"] * 2 * (sources == 1)]
    pooled: dict[str, Any] = {"pool": pool, "pooling": draw(st.sampled_from(poolings)), **copies}
    if goal[1:] == (1, 1) and draw(st.booleans()):
        neurons = shape[0] * (shape[1] // pool[0]) * (shape[2] // pool[1])
        return Dense(numbers.weights(rng, goal[0], neurons), **pooled)
    windows_of_currents = dict(zip(WINDOW_FIELDS, window, strict=True))
    weight = numbers.weights(rng, goal[0], shape[0], *kernel)
    return Conv(weight, stride=stride, padding=padding, **windows_of_currents, **pooled)


def may_multiply(plan: Plan, place: int, read: int) -> bool:
    """A layer has the shapes for an attention that reads a source."""
    shape, goal = plan.shapes[read], plan.shapes[place]
    if is_packed(shape, goal):
        return True
    has_values = any(other == goal for _, other in plan.spiking(place))
    return has_values and goal[1:] == shape[1:] and (goal[0] > 1 or shape[0] == 1)


def is_packed(shape: tuple[int, ...], goal: tuple[int, ...]) -> bool:
    """Queries, keys and values stand one after the other in the channels of one source."""
    return shape == (3 * goal[0], *goal[1:])


@st.composite
def multiplied_sources(
    draw: st.DrawFn, plan: Plan, place: int, read: int, of_input: dict[str, Any]
) -> Input:
    """Attention of one source, of three, or of two for each of the three."""
    shape, goal = plan.shapes[read], plan.shapes[place]
    alike = st.sampled_from([name for name, other in plan.spiking(place) if other == shape])
    values = st.sampled_from([name for name, other in plan.spiking(place) if other == goal] or [""])
    names = [plan.names[read]]
    if not is_packed(shape, goal):
        planes = draw(st.sampled_from((1, 1, 2)))
        names += draw(st.lists(alike, min_size=2 * planes - 1, max_size=2 * planes - 1))
        names = draw(st.permutations(names))
        names += draw(st.lists(values, min_size=planes, max_size=planes))
    delays = st.integers(1, max(1, min(LONGEST_DELAY, plan.timesteps - 1)))
    divisors = [
        heads for heads in (1, 2, 3, 5, 64, 67) if goal[0] % heads == 0 and shape[0] % heads == 0
    ]
    sources = [Source(name, draw(delays)) for name in names]
    return Input(Attention(draw(st.sampled_from(divisors))), sources, **of_input)


def spreads(shape: tuple[int, ...], sides: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Numbers of times that maps can be repeated to have given sides, or not at all; channels once
    or twice.
    """
    factors = {
        (rows // shape[1], columns // shape[2])
        for rows, columns in sides
        if rows % shape[1] == 0 and columns % shape[2] == 0
    }
    return [(channels, *times) for channels in (1, 2) for times in sorted(factors | {(1, 1)})]


WINDOW_FIELDS = "current_pool", "current_stride", "current_padding"
# Side, stride and padding of a window of currents; the first is none.
WINDOWS = sorted(
    (side, stride, padding)
    for side, stride in product((1, 2, 3), repeat=2)
    for padding in range(side // 2 + 1)
)


def windows(sides: Sequence[int]) -> st.SearchStrategy[dict[str, Any]]:
    """Maxima of currents in any windows that fit into maps of these sides."""
    axes = [st.sampled_from([window for window in WINDOWS if window[0] <= side]) for side in sides]
    return st.tuples(*axes).map(
        lambda drawn: dict(zip(WINDOW_FIELDS, zip(*drawn, strict=True), strict=True))
    )


@cache
def along(side: int, goal: int, pools: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every pool, stride, padding, side of a kernel and window that lead from one side of a map to
    another.
    """
    ways = []
    for pool, stride, padding, kernel in product(pools, (1, 2, 3), range(4), range(1, 6)):
        padded = side // pool + 2 * padding
        if side % pool or kernel > padded:
            continue
        positions = (padded - kernel) // stride + 1
        for window, window_stride, window_padding in WINDOWS:
            left = positions + 2 * window_padding - window
            if left >= 0 and left // window_stride + 1 == goal:
                ways.append((pool, stride, padding, kernel, window, window_stride, window_padding))
    return ways


def some_inputs(
    network: Network, seed: int = 1, densities: Sequence[float] = (0.1, 0.5, 0.9)
) -> NDArray[Any]:
    """Three samples: spikes of these densities, or numbers from -3 to 3, whose sums are exact in
    float32.
    """
    rng = np.random.default_rng(seed)
    steps = () if network.encoder == "constant-current" else (network.timesteps,)
    if network.current_input:
        return rng.integers(-3, 4, (*steps, 3, *network.input_shape), np.int8)
    shape = (network.timesteps, *network.input_shape)
    return np.stack([rng.random(shape) < density for density in densities], axis=1)


@st.composite
def synapses(draw: Any) -> tuple[Input, NDArray[np.bool_]]:
    """An input of any kind, for maps of 2×4×8, and spikes."""
    random = np.random.default_rng(draw(st.integers(0, 99)))
    pool, pooling = draw(st.sampled_from([1, 2, (2, 4)])), draw(st.sampled_from(["average", "max"]))
    spikes = random.random((2, 4, 8)) < 0.4
    if draw(st.booleans()):
        weight = random.normal(size=(3, 64 // prod(pair(pool))))
        return Input(Dense(weight, pool=pool, pooling=pooling)), spikes
    kernel = (3, 2, draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    stride, padding = (draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) for _ in range(2))
    windows = draw(
        st.sampled_from([{}, {"current_pool": 2, "current_stride": 1, "current_padding": 1}])
    )
    geometry: dict[str, Any] = {
        "pool": pool,
        "stride": stride,
        "padding": padding,
        "pooling": pooling,
        **windows,
    }
    return Input(Conv(random.normal(size=kernel), **geometry)), spikes
