"""Products in tiles are those of the plain reference, in every thread; where the CPU has no tiles,
that is said.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesam.backends.event.kernels import _tiles as tiles
from spikesam.backends.event.kernels._costs import ALWAYS, NEVER
from spikesam.backends.event.kernels._tiles import AMX, AVX2, HOW, VNNI, instruction
from spikesam.backends.event.kernels.layer import LayerKernel
from spikesam.backends.network import WEIGHT_LIMIT, FixedLIF, Layer
from spikesam.backends.network.step import current_of
from tests.backends.graphs import windows
from tests.layers import input_of, with_first

tiled = pytest.mark.skipif(
    HOW is not AMX, reason="this CPU has no AMX, or the kernel of the system does not allow it"
)


def test_tiles_are_used_only_where_the_system_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "tiles_allowed", lambda: False)
    assert instruction() in (VNNI, AVX2, None)


def test_elsewhere_than_on_linux_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)
    assert not tiles.tiles_allowed()


def make_layer(weight: NDArray[np.int8], rng: np.random.Generator, **geometry: Any) -> Layer:
    """Neurons that fire now and then, whatever the size of the weights."""
    outputs = len(weight)
    gain, bias = (
        rng.integers(-3000, 3000, (1, outputs), np.int32),
        rng.integers(-2000, 4000, (3, outputs), np.int32),
    )
    return Layer(
        "layer", input_of(weight, gain=gain, shift=12, **geometry), FixedLIF(400, bias=bias)
    )


def advanced(
    layer: Layer, spikes: NDArray[np.bool_], costs: Any, start: int, most: int = 1
) -> list[NDArray[Any]]:
    """All that a layer, or so many parts of it, leave behind after (S, C, H, W) spikes, from the
    same state on.
    """
    kernel, rng = LayerKernel(layer, spikes.shape[1:], costs=costs), np.random.default_rng(1)
    before = rng.integers(-9000, 9000, (2, *kernel.output_shape))
    fired = np.ones((len(spikes), *kernel.output_shape), np.bool_)
    packed = np.full((len(spikes), -(-fired[0].size // 8)), 255, np.uint8)
    states = []
    for part in kernel.parts(most):
        states.append(state := part.rest())
        state.current[0], state.membrane[:] = before[:, part.rows]
        part.run(start, [np.ascontiguousarray(spikes.transpose(0, 2, 3, 1))], state, fired, packed)
    if not part.packs:
        kernel.pack(fired, packed)
    left = ([each.membrane for each in states], [each.current[0] for each in states])
    return [fired, packed, *map(np.concatenate, left)]


@st.composite
def layers(draw: st.DrawFn, divisible: bool = False) -> tuple[Layer, NDArray[np.bool_]]:
    """A layer of weights of any size, and (S, C, H, W) spikes before it; mostly one that has parts,
    if `divisible`.
    """
    pool, stride, padding = (draw(st.integers(*limits)) for limits in ((1, 3), (1, 3), (0, 2)))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    height = draw(st.integers(max(1, rows - 2 * padding), 6))
    width = draw(st.integers(max(1, columns - 2 * padding), 40))
    if divisible:
        positions = draw(st.sampled_from((2, 4, 6, 7))), draw(st.sampled_from((4, 7, 8, 16)))
        height, width = (
            max(1, (count - 1) * stride + taps - 2 * padding)
            for count, taps in zip(positions, (rows, columns), strict=True)
        )
    channels, outputs = (
        draw(st.sampled_from((1, 3, 20, 64, 70))),
        draw(st.sampled_from((1, 16, 31, 32, 33, 70))),
    )
    steps, density = (
        draw(st.sampled_from((1, 2, 15, 16, 17, 35))),
        draw(st.sampled_from((0.02, 0.3, 1.0))),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = rng.integers(
        -WEIGHT_LIMIT, WEIGHT_LIMIT + 1, (outputs, channels, rows, columns)
    ).astype(np.int8)
    pooling = draw(st.sampled_from(("average", "max")))
    spikes = rng.random((steps, channels, height * pool, width * pool)) < density
    return make_layer(
        weight, rng, pool=pool, pooling=pooling, stride=stride, padding=padding
    ), spikes


@tiled
@given(layers(), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_multiplied_steps_are_added_ones(
    drawn: tuple[Layer, NDArray[np.bool_]], start: int
) -> None:
    layer, spikes = drawn
    multiplied, added = (advanced(layer, spikes, costs, start) for costs in (ALWAYS, NEVER))
    for one, other in zip(multiplied, added, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(
        multiplied[-1], current_of(layer.inputs[0], spikes[-1]).transpose(1, 2, 0)
    )


def test_a_single_step_has_room_for_as_many_rows_as_it_computes_at_a_time() -> None:
    """18 rows of 56 · 64 sums, where 16 steps of one row are fewer."""
    rng = np.random.default_rng(0)
    layer = make_layer(
        rng.integers(-WEIGHT_LIMIT, WEIGHT_LIMIT, (64, 1, 1, 1)).astype(np.int8), rng
    )
    spikes = rng.random((1, 20, 56)) < 0.5
    kernel = LayerKernel(layer, spikes.shape, costs=ALWAYS)
    state = kernel.rest()
    kernel.add([spikes.transpose(1, 2, 0)], state)
    assert np.array_equal(state.current[0], current_of(layer.inputs[0], spikes).transpose(1, 2, 0))


@given(
    layers(divisible=True),
    st.integers(2, 4),
    st.sampled_from((ALWAYS, NEVER)),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_parts_of_a_layer_are_the_whole(
    drawn: tuple[Layer, NDArray[np.bool_]], most: int, costs: Any, data: st.DataObject
) -> None:
    layer, spikes = drawn
    sides = layer.inputs[0].output_shape(spikes.shape[1:])[1:]
    layer = with_first(layer, **data.draw(windows(sides)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikesam.backends.event.kernels.layer.LEAST", 1)
        assume(len(LayerKernel(layer, spikes.shape[1:], costs=costs).parts(most)) > 1)
        parts, whole = (advanced(layer, spikes, costs, 0, count) for count in (most, 1))
    for one, other in zip(parts, whole, strict=True):
        assert np.array_equal(one, other)


@tiled
@pytest.mark.parametrize("weight", [-WEIGHT_LIMIT, WEIGHT_LIMIT])
def test_the_largest_sums(weight: int) -> None:
    # 225 spikes behind pooling by 15, 290 inputs: 225 · 290 · 127 = 8,286,750, where 2²³ is the
    # most.
    layer = make_layer(np.full((5, 290), weight, np.int8), np.random.default_rng(0), pool=15)
    current = advanced(layer, np.ones((2, 290, 15, 15), np.bool_), ALWAYS, 1)[-1]
    assert (current == 225 * 290 * weight).all()


@tiled
def test_each_thread_has_tiles_of_its_own() -> None:
    rng = np.random.default_rng(3)
    jobs = []
    for steps in (3, 16, 9, 12):  # rows of tiles, which threads configure
        weight = rng.integers(-WEIGHT_LIMIT, WEIGHT_LIMIT + 1, (48, 64, 3, 3)).astype(np.int8)
        jobs.append((make_layer(weight, rng, padding=1), rng.random((steps, 64, 24, 24)) < 0.3))
    expected = [advanced(*job, NEVER, 1) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda job: advanced(*job, ALWAYS, 1), 20 * jobs))
    for each, right in zip(found, 20 * expected, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(each, right, strict=True))
