"""Timing, rows and what they look like, by hand; and peers that compute what this project does."""

import io
from collections.abc import Callable
from itertools import cycle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from torch.nn import functional

from benchmarks import road
from benchmarks.common.environment import LOOP, missing_peer, missing_spikingjelly
from benchmarks.common.measurement import MeasuredRow, Options, race
from benchmarks.common.networks import (
    SMALL,
    TINY,
    additions,
    random_network,
    random_spikes,
    spike_rates,
)
from benchmarks.common.peers import (
    SnnTorchNetwork,
    SnnTorchTraining,
    SpikingJellyTraining,
    as_tensor,
    linear_of,
    onednn_synapses,
    onnx_synapses,
    peers,
)
from benchmarks.common.report import as_json, as_tables, draw_sweeps, number, target
from benchmarks.road import Command
from spikesam import LIF, Conv, Dense, Input, Layer, Network, Readout, load, quantise
from spikesam.data import open_dataset
from spikesam.settings import NetworkSection
from spikesam.simulators import make_backend
from spikesam.training import SpikingNetwork


class Clock:
    """Ways that take the given seconds, turn by turn, of a time that only they pass."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, list[str]()

    def way(self, name: str, *seconds: float) -> Callable[[], int]:
        durations = cycle(seconds)

        def call() -> int:
            self.calls.append(name)
            self.now += next(durations)
            return len(self.calls)

        return call


def test_ways_take_turns_and_the_first_turn_does_not_count():
    clock = Clock()
    ways = {"a": clock.way("a", 100, 1, 2), "b": clock.way("b", 200, 3, 5)}
    timed = race(ways, 2, clock=lambda: clock.now)
    assert clock.calls == ["a", "b", "a", "b", "a", "b"]
    assert (timed["a"].seconds.tolist(), timed["b"].seconds.tolist()) == ([1, 2], [3, 5])
    assert (timed["a"].result, timed["b"].result) == (5, 6)  # what the last turn returned

    clock = Clock()
    less = {"less": clock.way("less", 100)}
    timed = race({"a": clock.way("a", 1, 2)}, 2, clock=lambda: clock.now, first=less)
    assert (clock.calls, timed["a"].seconds.tolist()) == (["less", "a", "a"], [1, 2])


def test_what_is_short_settles_before_each_turn_and_is_called_again_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.common.measurement.SETTLING", 6.0)
    clock = Clock()
    short = clock.way("short", *7 * [1.0], 2.0, 4.0, *8 * [1.0])
    timed = race({"short": short, "long": clock.way("long", 8.0)}, 2, clock=lambda: clock.now)
    assert clock.calls == ["short", "long", *8 * ["short"], "long", *7 * ["short"], "long"]
    assert (timed["short"].seconds.tolist(), timed["long"].seconds.tolist()) == (
        [3.0, 1.0],
        [8.0, 8.0],
    )


@pytest.mark.parametrize(
    ("limits", "reached", "text"),
    [
        ({}, None, ""),
        ({"at_least": 2.0}, True, "≥ 2 met"),
        ({"at_least": 2.5}, False, "≥ 2.5 missed"),
        ({"at_most": 2.0}, True, "≤ 2 met"),
        ({"at_most": 1.9}, False, "≤ 1.9 missed"),
    ],
)
def test_targets_are_for_the_median(limits, reached, text):
    row = MeasuredRow("case", "way", "×", (1.0, 2.0, 50.0), **limits)
    assert (row.median, row.reached, target(row)) == (2.0, reached, text)


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (7.0, "7"), (123.45, "123"), (7668.4, "7,668")]
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


CURVE = [
    MeasuredRow(f"T {x}", way, "ms", (cost * x, cost * x), sweep="T", x=x)
    for x in (10, 20)
    for way, cost in (("a", 1.0), ("b", 2.5))
]


def test_tables_show_figures_then_curves_with_ways_across_and_json_every_value():
    console = Console(width=80, file=io.StringIO())
    rows = [
        MeasuredRow("10 %", "a", "images/s", (3.0, 1.0, 2.0), at_least=5, note="a bound"),
        *CURVE,
    ]
    for table in as_tables("title", rows):
        console.print(table)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["a", "2", "images/s", "1–3", "≥", "5", "missed"] in lines
    assert ["a", "bound"] in lines
    assert ["T", "a", "b"] in lines
    assert ["20", "20", "50"] in lines
    row = as_json(rows[0])
    assert row["values"] == (3.0, 1.0, 2.0)
    assert (row["median"], row["repeats"], row["spread"], row["reached"]) == (
        2.0,
        3,
        [1.0, 3.0],
        False,
    )


def test_only_what_was_varied_is_drawn(tmp_path):
    assert not draw_sweeps(
        tmp_path / "none.png", "title", "", [MeasuredRow("10 %", "a", "s", (1.0,))]
    )
    assert not list(tmp_path.iterdir())
    assert draw_sweeps(tmp_path / "some.png", "title", "", CURVE)
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")


@settings(max_examples=8)
@given(
    rate=st.floats(0.05, 0.95), seed=st.integers(0, 9)
)  # the bias of a layer that always fires is not determined
def test_every_layer_fires_about_as_often_as_asked(rate, seed):
    network = quantise(random_network(SMALL._replace(timesteps=12), rate, seed))
    spikes = random_spikes(network.input_shape, network.timesteps, 2, rate, seed + 1)
    rates = spike_rates(network, list(make_backend("event", threads=1).run(network, [spikes], 2)))
    assert all(
        abs(found - rate * 11 / 12) < 0.05 for name, found in rates.items() if name != "input"
    ), rates


def test_the_same_seed_is_the_same_network_and_wider_means_more_channels_and_dense_neurons():
    random_network.cache_clear()
    first = random_network(TINY, 0.2, 0).sha256
    random_network.cache_clear()
    assert random_network(TINY, 0.2, 0).sha256 == first
    assert random_network(TINY, 0.2, 1).sha256 != first
    assert TINY.widened(3).layers == ("12", "P", "24", "P4", "D24")


def test_work_by_hand():
    layers = (
        Layer("conv1", Input(Conv(np.ones((5, 2, 3, 3), np.float32), padding=1)), LIF(0.9)),
        Layer("fc1", Dense(np.ones((3, 20), np.float32), pool=2), LIF(0.9)),
    )
    network = Network((2, 4, 4), 10, layers, Readout(np.ones((2, 3), np.float32)))
    rates = {"input": 0.5, "conv1": 0.25, "fc1": 1.0}
    # Kernels reach 4 pixels from corners, 6 from edges, 9 from the middle. Per step, half of both
    # planes fire, and 20 spikes of conv1 reach 3 neurons each; what fc1 sends goes to the readout.
    reached = 2 * 5 * (4 * 4 + 8 * 6 + 4 * 9)
    assert additions(network, rates) == pytest.approx(10 * (reached / 2 + 20 * 3))


NETWORK = NetworkSection(layers=(4, "P", 6, "P4", "D8"), timesteps=7, leak=0.9, threshold=1.3)
needs_spikingjelly = pytest.mark.skipif(
    bool(missing_spikingjelly()), reason="SpikingJelly is not installed"
)


def test_snntorch_gives_the_readout_of_the_event_backend():
    network = random_network(TINY, 0.2, 0)
    spikes = random_spikes(network.input_shape, network.timesteps, 3, 0.2, 1)
    batches = make_backend("event", threads=1).run(network, [spikes], 3)
    expected = np.concatenate([batch.readout for batch in batches])
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(
        SnnTorchNetwork(network)(as_tensor(spikes)), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["SpikingJelly", "Norse", "sinabs", "JAX", LOOP])
def test_peers_have_leak_soft_reset_gain_and_bias_and_fire_the_same(name: str) -> None:
    if why := missing_peer(name):
        pytest.skip(why)
    # leak 0.5, i = 2·0.5·s + 0.25: v = 1.25 (fires, keeps 0.25), 1.375 (fires, keeps 0.375), then
    # without input 0.4375, and with it again 1.46875 (fires).
    layer = Layer("fc1", np.ones((1, 1), np.float32), LIF(0.5, bias=0.25))
    network = Network((1, 1, 1), 5, (layer,), Readout(np.full((1, 1), 3, np.float32)))
    spikes = np.array([1, 1, 0, 1, 1], np.bool_).reshape(5, 1, 1, 1, 1)  # the last arrives nowhere
    assert peers(network, [name])[name](as_tensor(spikes)).tolist() == [[9.0]]
    # Weights are whole numbers, leaks 1/2, membranes small: bfloat16 holds them exactly for three
    # steps.
    rng = np.random.default_rng(0)
    layers = (
        Layer(
            "conv1",
            Input(Conv(rng.integers(-1, 3, (4, 6, 3, 3)).astype(np.float32), padding=1)),
            LIF(0.5, 2.0),
        ),
        Layer(
            "fc2",
            Dense(rng.integers(-1, 2, (5, 4 * 4 * 4)).astype(np.float32), pool=2),
            LIF(0.5, 4.0),
        ),
    )
    network = Network((6, 8, 8), 4, layers, Readout(np.eye(5, dtype=np.float32)))
    spikes = as_tensor(random_spikes(network.input_shape, 4, 3, 0.1, 0))
    found = peers(network, [name, LOOP])
    expected = found[LOOP](spikes)
    assert expected.any()
    assert torch.equal(found[name](spikes), expected) == (
        name != "Norse"
    )  # which does not fire at the threshold


@pytest.mark.parametrize("make", [onednn_synapses, onnx_synapses])
@pytest.mark.parametrize("shape", [(4, 6, 3, 3), (5, 6 * 4 * 4)], ids=["conv", "dense"])
def test_currents_of_8_bits_are_near(
    make: Callable[[Layer], Callable[[torch.Tensor], torch.Tensor]], shape
) -> None:
    if make is onnx_synapses:
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    weight = np.random.default_rng(0).standard_normal(shape, np.float32)
    layer = Layer(
        "layer",
        Conv(weight, pool=2, padding=1) if weight.ndim == 4 else Dense(weight, pool=2),
        LIF(0.5, bias=0.25),
    )
    spikes = as_tensor(random_spikes((6, 8, 8), 1, 3, 0.3, 0))[0]
    with torch.inference_mode():
        expected, found = linear_of(layer)(spikes), make(layer)(spikes)
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.05)


def test_snntorch_trains_the_function_of_this_project():
    torch.manual_seed(0)
    ours, theirs = (
        SpikingNetwork(NETWORK, (3, 16, 16), 5).train(),
        SnnTorchTraining(NETWORK, 16, 5).train(),
    )
    for index, layer in enumerate(ours.layers):
        theirs.synapses[index][-1].load_state_dict(layer.synapses.state_dict())
        theirs.norms[index].load_state_dict(layer.bntt.state_dict())
    theirs.readout.load_state_dict(ours.readout.state_dict())
    spikes = torch.randn(7, 4, 3, 16, 16).sign()
    expected, found = ours(spikes), theirs(spikes)
    torch.testing.assert_close(found, expected)
    for logits in (expected, found):
        functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    for index, layer in enumerate(ours.layers):
        assert layer.synapses.weight.grad.abs().max() > 0
        torch.testing.assert_close(
            theirs.synapses[index][-1].weight.grad, layer.synapses.weight.grad
        )


@needs_spikingjelly
def test_spikingjelly_trains_every_weight():
    torch.manual_seed(0)
    model = SpikingJellyTraining(NETWORK, 16, 5).train()
    spikes = torch.randn(7, 4, 3, 16, 16).sign()
    for _ in range(2):  # what the first time left behind does not matter
        model.zero_grad()
        functional.cross_entropy(model(spikes), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.ndim == 1 or parameter.grad.abs().max() > 0, name


def test_image_files_are_in_the_layout_of_tiny_imagenet(tmp_path):
    items = list(open_dataset(str(road.tiny_imagenet(tmp_path / "data", 12, 0)), "val"))
    assert [item.index for item in items] == list(range(12))
    assert [item.label for item in items] == [*range(10), 0, 1]
    assert {item.image.size for item in items} == {(64, 64)}
    for item in items:
        x0, y0, x1, y1 = item.box
        assert 0 <= x0 <= x1 - 16
        assert 0 <= y0 <= y1 - 16
        assert max(x1, y1) <= 64
    assert load(road.CHECKPOINT).classes == open_dataset(str(tmp_path / "data"), "val").classes


def test_a_command_that_fails_says_why_and_its_children_are_watched(tmp_path):
    with pytest.raises(RuntimeError, match=r"exit code 3: no such thing"):
        Command(
            ("-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"),
            tmp_path / "fails",
        )()
    held = "x = b'1' * (200 << 20); import time; time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}])"
    assert Command(("-c", parent), tmp_path / "new").peak() > 200 << 20


def test_image_files_are_timed_and_their_memory_is_measured(tmp_path):
    rows = list(road.image_files((1, 2), Options(repeats=1), tmp_path))
    assert {row.way.split(":")[0].split(",")[0] for row in rows} == {road.NOW}
    peaks = [row for row in rows if row.unit == "MB"]
    assert [row.case for row in peaks] == [
        f"{road.CHECKPOINT}, {count} JPEG files" for count in (1, 2)
    ]
    assert all(row.median > 50 for row in peaks)  # what Python and NumPy take
