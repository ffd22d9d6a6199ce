"""Networks made by hand of what a backend may do wrong, and samples for them."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import (
    LIF,
    MEMBRANE_LIMIT,
    Attention,
    Conv,
    Dense,
    FixedLIF,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
)
from tests.backends.graphs import quarters
from tests.layers import input_of


def weights(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Random weights that pass activity on."""
    return rng.normal(0.2, 2, shape).astype(np.float32) / np.float32(
        np.sqrt(np.prod(shape[1:])) * 0.5
    )


def layer(
    rng: np.random.Generator,
    name: str,
    shape: tuple[int, ...],
    steps: int,
    *more: Input,
    leak: float = 0.9,
    **about: Any,
) -> Layer:
    """Random weights, gains and biases, one row for all steps or one per step,
    and further inputs.
    """
    rows = steps, shape[0]
    weight, threshold, gain = weights(rng, *shape), rng.uniform(0.5, 2), rng.uniform(0.5, 2, rows)
    neuron = LIF(leak, threshold, bias=rng.normal(0, 0.1, rows))
    return Layer(name, (input_of(weight, gain=gain, **about), *more), neuron)


def odd_sizes(rng: np.random.Generator) -> Network:
    """Kernels 1, 3, 5 and 2×4, strides 1 and 2, paddings 0, 1, 2, odd and non-square maps, gains
    for every step.
    """
    return Network(
        (3, 13, 7),
        9,
        (
            layer(rng, "conv1", (5, 3, 5, 5), 9, padding=2),
            layer(rng, "conv2", (6, 5, 3, 3), 9, stride=2, padding=1),
            layer(rng, "conv3", (4, 6, 1, 1), 9),
            layer(rng, "conv4", (9, 4, 2, 4), 9, padding=1, leak=1.0),
            layer(rng, "fc5", (11, 9 * 8 * 3), 9),
        ),
        Readout(weights(rng, 3, 11)),
    )


def limits(rng: np.random.Generator) -> Network:
    """Currents of up to 8,323,072 (the limit is 2²³ = 8,388,608), gains of ±32767, membranes that
    saturate.
    """
    signs = np.ones((6, 16 * 16 * 16), np.int8)
    signs[1] = -1
    signs[2:] = rng.choice((-1, 1), signs[2:].shape)
    gain = np.array([[32767, -32767, 1, -1, 32767, 3]], np.int32)
    bias = np.array([[0, 1 << 30, 4096, -4096, 5, -(1 << 30)]], np.int32)
    return Network(
        (16, 64, 64),
        4,
        (
            Layer(
                "fc1",
                Input(Dense(127 * signs, pool=4), gain=gain),
                FixedLIF(1, bias=bias, threshold=MEMBRANE_LIMIT - 1),
            ),
            Layer(
                "fc2",
                Input(127 * signs[2:, :6], gain=gain[:, :4], shift=30),
                FixedLIF(4096, bias=bias[:, :4] >> 17),
            ),
        ),
        Readout(127 * signs[:2, :4]),
    )


def summed_limits(rng: np.random.Generator) -> Network:
    """Two spikes at a place, currents of up to 2²³, gains of ±32767, sums and membranes that
    saturate.
    """
    signs = rng.choice((-1, 1), (6, 32 * 16 * 16)).astype(np.int8)
    signs[0], signs[1] = 1, -1
    gain = np.array([[32767, -32767, 1, -1, 32767, 3]], np.int32)
    bias = np.array([[0, 1 << 30, 4096, -4096, 5, -(1 << 30)]], np.int32)
    again = Input(
        Dense(127 * signs[::-1], pool=2), ("input", Source("input", 3, -1)), gain[:, ::-1]
    )
    layers = (
        Layer(
            "fc1",
            (Input(Dense(127 * signs, pool=2), ("input", Source("input", 2)), gain=gain), again),
            FixedLIF(1, bias=bias),
        ),
        Layer(
            "fc2",
            (
                Input(127 * signs[:4, :6], gain=gain[:, :4], shift=2),
                Input(Identity(), "fc2", -gain[:, :4]),
            ),
            FixedLIF(0, bias=bias[:, :4] >> 17),
        ),
    )
    return Network((32, 32, 32), 6, layers, Readout(127 * signs[:2, :4]))


def resets(rng: np.random.Generator) -> Network:
    """Resets to zero, by the threshold and by other amounts; firing at the threshold; constants
    that differ by channel; a current that outlasts its step; membranes that are held, by one number
    and by channel.

    Thresholds are met exactly: weights, gains and leaks are multiples of 1/4.
    """

    def round_weights(*shape: int) -> NDArray[np.float32]:
        return (rng.integers(-2, 4, shape) / 4).astype(np.float32)

    by_channel = rng.choice((0.5, 0.75, 1.0), 5)
    return Network(
        (3, 6, 8),
        12,
        (
            Layer(
                "conv1",
                Input(Conv(round_weights(4, 3, 3, 3), padding=1)),
                LIF(1.0, reset="zero", fires_at_threshold=True),
            ),
            Layer(
                "conv2",
                Conv(round_weights(5, 4, 1, 1), pool=2),
                LIF(by_channel, 2 * by_channel, reset_by=by_channel),
            ),
            Layer(
                "conv3",
                Input(Conv(round_weights(6, 5, 3, 3), padding=1)),
                LIF(0.5, reset_by=0.5, fires_at_threshold=True),
            ),
            Layer(
                "conv4",
                Input(Conv(round_weights(5, 6, 3, 3), padding=1)),
                LIF(1.0, 0.75, min_v_mem=-by_channel),
            ),
            Layer(
                "fc5",
                round_weights(7, 60),
                LIF(0.5, bias=0.25, reset="zero", synaptic_leak=0.5, min_v_mem=-0.25),
            ),
        ),
        Readout(round_weights(3, 7)),
        "spikes",
    )


def rectangles(rng: np.random.Generator) -> Network:
    """Pooling of both kinds, strides, paddings and pooling of currents that differ for rows and
    columns.

    A convolution after a dense layer; a leaky readout.
    """
    return Network(
        (2, 25, 27),
        9,
        (
            layer(
                rng,
                "conv1",
                (4, 2, 3, 2),
                9,
                pool=(1, 3),
                stride=(2, 1),
                padding=(2, 0),
                current_pool=(1, 2),
            ),
            layer(rng, "conv2", (5, 4, 1, 4), 1, pool=(7, 1), padding=(0, 2), pooling="max"),
            layer(rng, "conv3", (3, 5, 1, 2), 9, stride=(3, 1), padding=(0, 1), leak=0.0),
            layer(rng, "fc4", (6, 9), 1, pool=(1, 2), pooling="max"),
            layer(rng, "conv5", (3, 6, 2, 2), 1, padding=1),
        ),
        Readout(weights(rng, 3, 12), leak=0.75, bias=rng.normal(0, 0.3, (9, 3))),
    )


def overlaps(rng: np.random.Generator) -> Network:
    """Maxima of currents whose windows overlap, reach past the border, leave out or leave over;
    gains of both signs.
    """
    stem: dict[str, Any] = {"current_pool": 3, "current_stride": 2, "current_padding": 1}
    mixed, gain = (
        LIF(0.9, 0.8, bias=rng.normal(0.1, 0.1, 4)),
        rng.choice((-1, 1), 4) * rng.uniform(0.5, 2, 4),
    )
    again = Input(
        Conv(weights(rng, 5, 2, 3, 2), padding=(1, 0), **stem), "input", [1.0, -1.0, 0.5, -0.5, 1.0]
    )
    return Network(
        (2, 14, 17),
        9,
        (
            Layer(
                "conv1", Input(Conv(weights(rng, 4, 2, 3, 3), padding=1, **stem), gain=gain), mixed
            ),
            layer(rng, "conv2", (5, 4, 1, 2), 9, again),
            layer(rng, "conv3", (6, 5, 2, 2), 1, current_pool=(2, 3), current_stride=(3, 2)),
            layer(rng, "conv4", (3, 6, 1, 1), 9, current_stride=(1, 2)),
        ),
        Readout(weights(rng, 3, 12)),
    )


def one_step(rng: np.random.Generator) -> Network:
    """T = 1: nothing but the input can have happened yet."""
    return Network(
        (1, 3, 3), 1, (layer(rng, "conv1", (2, 1, 2, 2), 1),), Readout(weights(rng, 2, 8))
    )


def constant_odd(rng: np.random.Generator) -> Network:
    """Constant current through pooling 3, a 3×2 kernel, stride 2 and padding 1 on odd sides; gains
    for every step.

    A readout with bias.
    """
    return Network(
        (3, 27, 15),
        9,
        (
            layer(rng, "conv1", (5, 3, 3, 2), 9, pool=3, stride=2, padding=1),
            layer(rng, "conv2", (6, 5, 3, 3), 9, padding=1),
            layer(rng, "fc3", (7, 6 * 5 * 3), 9),
        ),
        Readout(weights(rng, 3, 7), bias=[0.25, -0.5, 0.125]),
        "constant-current",
    )


def changing_maps(rng: np.random.Generator) -> Network:
    """Other maps at every step, more steps than a chunk holds, a maximum of their currents, and
    recurrent weights.

    They drive a dense layer, too; 127 stands for 5, not 2.
    """
    recurrent = Input(Conv(weights(rng, 4, 4, 3, 1) / 4, padding=(1, 0)), "conv1")
    conv1 = layer(rng, "conv1", (4, 2, 3, 3), 40, recurrent, padding=1, current_pool=2)
    fc2 = layer(rng, "fc2", (5, 48), 1, Input(Dense(weights(rng, 5, 48), pool=(2, 1)), "input"))
    return Network(
        (2, 6, 8), 40, (conv1, fc2), Readout(weights(rng, 3, 5)), "changing-current", 5.0
    )


def constant_limits(rng: np.random.Generator) -> Network:
    """Constant currents of up to 8,387,080 into a dense first layer behind pooling."""
    signs = rng.choice((-1, 1), (4, 13 * 2 * 5)).astype(np.int8)
    signs[0], signs[1] = 1, -1
    gain = np.array([[32767, -32767, 1, 3]], np.int32)
    bias = np.array([[0, 1 << 30, 4096, -5]], np.int32)
    return Network(
        (13, 4, 10),
        7,
        (
            Layer(
                "fc1",
                Input(Dense(127 * signs, pool=2), gain=gain, shift=10),
                FixedLIF(1, bias=bias),
            ),
            Layer(
                "fc2",
                Input(127 * signs[:, :4], gain=gain[:, ::-1], shift=10),
                FixedLIF(4096, bias=bias >> 17),
            ),
        ),
        Readout(127 * signs[:2, :4]),
        "constant-current",
    )


def multiplied(rng: np.random.Generator, counts: bool = True) -> Network:
    """Attention of one layer, of three and, with `counts`, of sums, whose values are wider, gates,
    spread spikes.

    Sums over a head and over all places. And sums of currents over all places, behind a maximum and
    alone.

    Thresholds are met exactly: weights and gains are multiples of 1/16.
    """
    half = LIF(0.5, 0.5, reset="zero", fires_at_threshold=True)

    def some(*shape: int) -> NDArray[np.float32]:
        return (rng.integers(-2, 4, shape) / 4).astype(np.float32)

    def gate(name: str, threshold: float, *inputs: Input) -> Layer:
        return Layer(name, inputs, LIF(0.0, threshold, reset="zero"))

    def single(name: str, channels: int) -> Input:
        return Input(Conv(some(5, channels, 1, 1), current_sum=True), name, 1 / 16)

    summed = ("q", "k", "k", Source("q", 2), "wide", Source("wide", 2))
    counted = (
        Layer("wide", Input(some(8, 4, 1, 1), "packed"), LIF(0.5, 0.25)),
        Layer("counted", Input(Attention(heads=2), summed, some(1, 8)), half),
    )
    read = (("joined", 6), ("counted", 8)) if counts else (("joined", 6),)
    heads = np.kron(np.eye(2), np.ones((1, 2))).astype(np.float32)[:, :, None, None]
    joined = Input(
        Conv(some(6, 4, 3, 3), padding=1, spread=(1, 2, 1)),
        ("alone", "attended", Source("masked", 2)),
    )
    pooled: dict[str, Any] = {
        "current_pool": 3,
        "current_stride": 2,
        "current_padding": 1,
        "current_sum": True,
    }
    largest = Input(Conv(some(5, 6, 3, 3), padding=1, **pooled), "joined", 1 / 16)
    return Network(
        (2, 3, 4),
        14,
        (
            Layer("qkv", Input(Conv(some(12, 2, 3, 3), padding=1), "input"), half),
            Layer("packed", Input(Attention(heads=2), "qkv", 1 / 16), half),
            *(
                Layer(name, Input(some(4, 4, 1, 1), "packed"), LIF(0.5, 0.25))
                for name in ("q", "k", "v")
            ),
            Layer(
                "attended",
                (
                    Input(Attention(heads=2), (Source("q", 2), "k", "v"), 1 / 16),
                    Input(Identity(), "packed"),
                ),
                half,
            ),
            Layer("of_head", Input(heads, "q"), half),
            gate(
                "masked",
                1.5,
                Input(Identity(spread=(2, 1, 1)), "of_head"),
                Input(Identity(), Source("k", 2)),
            ),
            Layer(
                "of_places", Input(Dense(np.eye(4), pool=(3, 4), pooling="sum"), "v", 1 / 4), half
            ),
            *(counted if counts else ()),
            gate(
                "alone",
                0.5,
                Input(Identity(spread=(1, 3, 4)), "of_places", -1),
                Input(Identity(), "masked"),
            ),
            Layer("joined", joined, LIF(0.5, 1.0)),
            Layer("mean", (largest, *(single(*each) for each in read)), half),
        ),
        Readout(some(3, 5)),
        "spikes",
    )


def staggered(rng: np.random.Generator) -> Network:
    """Channels of sources that arrive at steps of their own: of the input, of a layer itself,
    subtracted, pooled.
    """
    late = (4, 1, 2, 1, 6)
    return Network(
        (3, 6, 4),
        14,
        (
            layer(rng, "conv1", (5, 3, 3, 3), 14, source=Source("input", (3, 1, 2)), padding=1),
            layer(
                rng,
                "conv2",
                (4, 5, 3, 3),
                1,
                Input(weights(rng, 4, 4, 1, 1), Source("conv2", (2, 1, 5, 1))),
                Input(
                    Identity(spread=(1, 2, 2)), ("conv3", Source("conv3", (1, 3, 1, 2), -1)), 0.5
                ),
                source=(Source("conv1", late), "conv1"),
                padding=1,
            ),
            layer(
                rng,
                "conv3",
                (4, 4, 1, 1),
                1,
                source=Source("conv2", (1, 1, 2, 3)),
                pool=2,
                pooling="max",
            ),
            layer(
                rng,
                "fc4",
                (6, 24),
                1,
                Input(Dense(weights(rng, 6, 5 * 4), pool=(3, 2)), Source("conv1", late)),
            ),
            layer(
                rng,
                "fc5",
                (7, 6),
                1,
                Input(weights(rng, 7, 7), Source("fc5", (1, 2, 3, 4, 3, 2, 1))),
            ),
        ),
        Readout(weights(rng, 3, 7)),
        "spikes",
    )


def moved(rng: np.random.Generator) -> Network:
    """Rows and columns that are reflected, go round, are left out, or stand beside zeros."""
    reflected, round_, some = (2, 1, 0, 1, 2, 3, 4, 5, 4), (3, 0, 1, 2, 3, 0), (-1, 0, 1, 1, 3, -1)
    shortcut = Input(Identity(spread=(1, 2, 3), rows=(3, -1, 0), columns=(0, 5)), "conv2", 0.5)
    return Network(
        (3, 6, 4),
        10,
        (
            layer(rng, "conv1", (5, 3, 4, 3), 1, rows=reflected, columns=round_, padding=(0, 1)),
            layer(
                rng,
                "conv2",
                (4, 5, 2, 2),
                1,
                Input(Conv(weights(rng, 4, 4, 2, 2), columns=(1, 0, -1)), "conv3"),
                source=(Source("conv1", (1, 3, 2, 1, 1)), Source("conv1", 2, -1)),
                rows=some,
                columns=(-1, 1, 0, 4, 4, 5),
                pool=2,
            ),
            layer(rng, "conv3", (4, 4, 1, 1), 1, shortcut, rows=(1, 0, 1), columns=(0, 1)),
            layer(
                rng,
                "fc4",
                (6, 20),
                1,
                Input(weights(rng, 6, 24), "conv3"),
                source="conv1",
                rows=(0, 0, 5, 5),
                columns=(1, 2),
                pool=(2, 1),
                pooling="max",
            ),
        ),
        Readout(weights(rng, 3, 6)),
        "spikes",
    )


def everything(rng: np.random.Generator, timesteps: int = 9) -> Network:
    """A residual sum 3 steps late, minus signs, identities, layers that read themselves, and conv3
    and conv4 in a loop.

    There are delays in front of convolutions, dense layers and pooling of both kinds.
    """
    lif, slow = LIF(0.5, 1.0, bias=0.25), LIF(0.5, 1.5, bias=0.25, reset="zero", synaptic_leak=0.5)
    shortcut, itself = (
        Input(Identity(), Source("conv1", 3), 0.5),
        Input(quarters(rng, 4, 4, 1, 1), "conv2", 0.25),
    )
    subtracted = Input(Identity(), ("conv4", Source("conv1", 2, -1)), 0.5)
    skipped = Input(
        Conv(quarters(rng, 4, 2, 3, 3), padding=1, current_pool=2),
        ("input", Source("input", 4)),
        0.5,
    )
    recurrent, less = (
        Input(quarters(rng, 5, 5), "fc6"),
        Input(Dense(quarters(rng, 5, 36), pool=2), Source("conv4", 1, -1)),
    )
    layers = (
        Layer("conv1", Input(Conv(quarters(rng, 4, 2, 3, 3), padding=1)), lif),
        Layer(
            "conv2",
            (Input(Conv(quarters(rng, 4, 4, 3, 3), padding=1), gain=0.5), shortcut, itself),
            slow,
        ),
        Layer(
            "conv3",
            Input(
                Conv(quarters(rng, 4, 4, 3, 3), padding=1),
                ("conv2", Source("conv1", 2, -1), "conv4"),
            ),
            lif,
        ),
        Layer(
            "conv4",
            (Input(Conv(quarters(rng, 4, 4, 3, 3), padding=1), Source("conv3", 2)), subtracted),
            lif,
        ),
        Layer(
            "conv5",
            (
                Input(Conv(quarters(rng, 4, 4, 1, 1), pool=2, pooling="max"), Source("conv4", 2)),
                skipped,
            ),
            lif,
        ),
        Layer("fc6", (quarters(rng, 5, 36), recurrent, less), LIF(0.5, 2.0)),
    )
    return Network((2, 6, 6), timesteps, layers, Readout(quarters(rng, 3, 5)), "spikes")


def driven(rng: np.random.Generator) -> Network:
    """A current that changes, into both layers; the first reads itself and the one behind it as
    well.
    """
    lif, itself = LIF(0.5, 1.0), Input(quarters(rng, 3, 3, 1, 1), "conv1")
    back = Input(Identity(), Source("conv2", 2, -1), 0.5)
    first = Layer("conv1", (Input(Conv(quarters(rng, 3, 2, 3, 3), padding=1)), itself, back), lif)
    later = Input(quarters(rng, 3, 2, 1, 1), Source("input", 3))
    second = Layer("conv2", (Input(Conv(quarters(rng, 3, 3, 3, 3), padding=1)), later), lif)
    return Network((2, 4, 4), 9, (first, second), Readout(quarters(rng, 3, 48)), "changing-current")


def driven_by_an_image(rng: np.random.Generator) -> Network:
    return replace(driven(rng), encoder="constant-current")


NETWORKS = {
    function.__name__: function
    for function in (
        odd_sizes,
        limits,
        summed_limits,
        one_step,
        constant_odd,
        constant_limits,
        resets,
        rectangles,
        changing_maps,
        overlaps,
        multiplied,
        staggered,
        moved,
    )
}


def samples(rng: np.random.Generator, network: Network) -> NDArray[Any]:
    """Samples of density 0.1, 1, 0, 0.5; then the first again, after a loud one and after a silent
    one.

    Where currents are the input, they are images: noise, the brightest, black, and all of -127 …
    127.
    """
    if network.encoder == "constant-current":
        noise, bright, black, full = (
            rng.integers(-limit, limit + 1, network.input_shape, np.int8)
            for limit in (20, 0, 0, 127)
        )
        return np.stack([noise, bright + np.int8(127), noise, black, full, noise])
    if network.encoder == "changing-current":
        shape = network.timesteps, *network.input_shape
        noise, full = (rng.integers(-limit, limit + 1, shape, np.int8) for limit in (20, 127))
        return np.stack(
            [noise, np.full_like(noise, 127), noise, np.zeros_like(noise), full, noise], axis=1
        )
    shape = (network.timesteps, *network.input_shape)
    drawn = [rng.random(shape) < density for density in (0.1, 1.0, 0.0, 0.5)]
    return np.stack([*drawn[:2], drawn[0], *drawn[2:], drawn[0]], axis=1)
