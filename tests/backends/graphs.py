"""Random networks whose layers read several others, themselves too, with delays, of channels as
well, and signs.
"""

from collections.abc import Callable
from dataclasses import dataclass
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
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
    Synapse,
)
from spikesam.backends.network.quantise import quantise
from tests.backends import test_random_networks as fixed_point

LONGEST_DELAY = 6
SIDES = ((4, 6), (2, 3), (1, 1))  # of maps; from each to each other a convolution leads


@dataclass(frozen=True)
class Numbers:
    """Where the numbers of a network come from: weights of a shape, neurons and gains of some
    channels.
    """

    weights: Callable[..., NDArray[Any]]
    neurons: Callable[[np.random.Generator, int], Any]
    gain: Callable[[np.random.Generator, tuple[int, int]], Any]
    shifts: tuple[int, ...]
    channels: tuple[int, ...]


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


FIXED = Numbers(
    fixed_point.weights,
    fixed_point.neurons,
    lambda rng, shape: rng.integers(-60, 60, shape, np.int32),
    (0, 2, 6),
    (1, 3, 66),
)
FLOAT = Numbers(
    quarters, float_neurons, lambda rng, shape: rng.integers(-4, 5, shape) / 4, (0,), (1, 3)
)


@st.composite
def graphs(
    draw: st.DrawFn,
    numbers: Numbers = FIXED,
    encoder: Encoder = "spikes",
    products: bool = True,
    loops: bool = True,
) -> Network:
    """Two to four layers; each reads an earlier one, and up to two others; up to four sources are
    summed each time.

    With `products` some sources are spread, rows and columns are taken in any order, some sources
    are multiplied (attention), and some layers have no weights; without `loops` no layer reads a later one.

    The numbers of a current are few, and 127 is the largest: sums of them are exact, too, in fixed
    point and float32.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    timesteps = draw(st.integers(3, 10))
    current = encoder != "spikes"
    shapes = [
        (draw(st.sampled_from(numbers.channels)), *draw(st.sampled_from(SIDES)))
        for _ in range(draw(st.integers(3, 5)))
    ]
    if current:
        shapes[0] = (min(shapes[0][0], 3), *shapes[0][1:])
    names = ["input", *(f"layer{number}" for number in range(1, len(shapes)))]
    delays = st.integers(1, min(LONGEST_DELAY, timesteps - 1))

    def last(place: int) -> int:
        """The last layer that a layer may read."""
        return len(shapes) - 1 if loops else place

    def delay_of(channels: int) -> int | tuple[int, ...]:
        """One for all channels, or one for each."""
        several = tuple(rng.integers(1, min(LONGEST_DELAY, timesteps - 1) + 1, channels).tolist())
        return several if draw(st.integers(0, 3)) == 0 else draw(delays)

    def one_input(place: int, first: int, weighted: bool) -> Input:
        spiking = list(zip(names, shapes, strict=True))[current : last(place) + 1]
        same = [name for name, shape in spiking if shape == shapes[first]]
        alone = current and first == 0
        seen, spread = shapes[first], (1, 1, 1)
        if products and not alone and draw(st.integers(0, 3)) == 0:
            spread = draw(st.sampled_from(spreads(seen)))
            seen = tuple(side * times for side, times in zip(seen, spread, strict=True))
        places: dict[str, tuple[int, ...]] = {}
        if products and draw(st.integers(0, 3)) == 0:
            sides = zip(("rows", "columns"), seen[1:], draw(st.sampled_from(SIDES)), strict=True)
            for name, side, count in sides:
                places[name] = tuple(rng.integers(-1, side, count).tolist())
            seen = (seen[0], len(places["rows"]), len(places["columns"]))
        others = [] if alone else draw(st.lists(st.sampled_from(same), max_size=3))
        signs = st.just(1) if alone else st.sampled_from((1, 1, -1))
        sources = [
            Source(
                name, draw(delays) if alone else delay_of(shapes[names.index(name)][0]), draw(signs)
            )
            for name in (names[first], *others)
        ]
        channels = shapes[place][0]
        gain = numbers.gain(rng, (draw(st.sampled_from((1, timesteps))), channels))
        about = {"gain": gain, "shift": draw(st.sampled_from(numbers.shifts))}
        packed = shapes[first] == (3 * channels, *shapes[place][1:])
        wide = [name for name, shape in spiking if shape == shapes[place]]  # what v may be
        meet = packed or (
            wide
            and shapes[place][1:] == shapes[first][1:]
            and (channels > 1 or shapes[first][0] == 1)
        )
        if products and not alone and meet and draw(st.integers(0, 2)) == 0:
            planes = draw(st.sampled_from((1, 1, 2)))
            asked = (
                []
                if packed
                else draw(
                    st.lists(
                        st.sampled_from(same), min_size=2 * planes - 1, max_size=2 * planes - 1
                    )
                )
            )
            read = [*draw(st.permutations([names[first], *asked]))]
            read += (
                []
                if packed
                else draw(st.lists(st.sampled_from(wide), min_size=planes, max_size=planes))
            )
            three = [Source(name, draw(delays)) for name in read]
            divisors = (
                heads
                for heads in (1, 2, 3, 66)
                if channels % heads == 0 == shapes[first][0] % heads
            )
            return Input(Attention(draw(st.sampled_from([*divisors]))), three, **about)
        copies: Any = {"spread": spread, **places}
        sources = draw(st.permutations(sources))
        if shapes[place] == seen and not (weighted or alone) and draw(st.booleans()):
            return Input(Identity(**copies), sources, **about)
        (before, *sides), (channels, *goal) = seen, shapes[place]
        pool, stride, padding, current_pool, kernel = zip(
            *(draw(st.sampled_from(along(*ends))) for ends in zip(sides, goal, strict=True)),
            strict=True,
        )
        of_spikes = len(sources) == 1 and sources[0].sign == 1 and not alone
        poolings = ["average", *(["sum"] if products else []), *(["max"] if of_spikes else [])]
        pooled: Any = {"pool": pool, "pooling": draw(st.sampled_from(poolings))}
        synapse: Synapse
        if goal == [1, 1] and draw(st.booleans()):
            taken = before * sides[0] * sides[1] // (pool[0] * pool[1])
            synapse = Dense(numbers.weights(rng, channels, taken), **pooled, **copies)
        else:
            weight = numbers.weights(rng, channels, before, *kernel)
            sides_of: Any = {"stride": stride, "padding": padding, "current_pool": current_pool}
            synapse = Conv(weight, **sides_of, **pooled, **copies)
        return Input(synapse, sources, **about)

    layers, unread = [], {*range(1, len(shapes) - 1)}
    for place in range(1, len(shapes)):
        earlier = (
            [draw(st.integers(0, place - 1))]
            if place < len(shapes) - 1
            else sorted(unread) or [place - 1]
        )
        reads = [*earlier, *draw(st.lists(st.integers(0, last(place)), max_size=2))]
        unread -= {read for read in reads if read < place}
        inputs = [
            one_input(place, read, number == 0 and not products)
            for number, read in enumerate(draw(st.permutations(reads)))
        ]
        layers.append(Layer(names[place], inputs, numbers.neurons(rng, shapes[place][0])))
    readout = Readout(numbers.weights(rng, 3, int(np.prod(shapes[-1]))))
    return Network(shapes[0], timesteps, tuple(layers), readout, encoder, 254.0 if current else 2.0)


def spreads(shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """What a map can be repeated by so that its sides are among those above: channels once or
    twice.
    """
    sides = [
        (tall // shape[1], wide // shape[2])
        for tall, wide in SIDES
        if not tall % shape[1] and not wide % shape[2]
    ]
    return [(channels, *factors) for channels in (1, 2) for factors in sides]


def along(side: int, goal: int) -> list[tuple[int, int, int, int, int]]:
    """Every pool, stride, padding, current_pool and side of a kernel that lead from one side of a
    map to another.
    """
    return [
        (pool, stride, padding, current_pool, kernel)
        for pool in (1, 2)
        if side % pool == 0
        for stride, left in (
            (1, 0),
            (2, 0),
            (2, 1),
        )  # `left` is at the end, where no window reaches
        for padding in range(4)
        for current_pool in (1, 2)
        if 0
        < (kernel := side // pool + 2 * padding - stride * (current_pool * goal - 1) - left)
        <= 5
    ]
