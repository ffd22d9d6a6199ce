"""Graphs with sums, shortcuts and loops: what NIR says of them, and networks that go through a
file.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import spikesam
from spikesam.backends.network import Network, Source
from spikesam.pipeline.imports.nir.read import from_nir
from tests.pipeline.imports.models import braille
from tests.pipeline.imports.nir.graphs import DT, lif, nir, run, weights

T = 40
rng = np.random.default_rng(1)


def graph(edges: str, **nodes: Any) -> Any:
    """A graph of nodes of 4 neurons each; edges are written "from to, from to"."""
    ends = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([4]))}
    return nir.NIRGraph(
        ends | nodes, [tuple(edge.split()) for edge in edges.split(", ")], type_check=False
    )


def dense(bias: bool = False) -> Any:
    weight = weights(rng, 4, 4)
    return (
        nir.Affine(weight, rng.integers(-2, 5, 4).astype(np.float32) / 16)
        if bias
        else nir.Linear(weight)
    )


def fired(network: Network, spikes: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """(T, N) of each layer in the time of the input, whose spikes are (T, N)."""
    found, _ = run(network, spikes[:, :, None, None])
    return [each[:, :, 0, 0].astype(np.int64) for each in list(found.values())[1:]]


def neurons(current: NDArray[Any], membrane: NDArray[Any], before: NDArray[Any]) -> tuple[Any, Any]:
    """Spikes and membranes of one step of `lif`, which resets to zero."""
    membrane = 0.75 * membrane * (1 - before) + current
    return (membrane > 1).astype(np.int64), membrane


@pytest.mark.parametrize("steps", [[3, 3, 3, 3], [3, 0, 5, 1]])
def test_what_a_graph_says_step_by_step(steps: list[int]) -> None:
    """Two layers; the second reads input and first through one node, itself, and the input later,
    subtracted.
    """
    first, second, own = dense(bias=True), dense(bias=True), dense(bias=True)
    found = graph(
        "input w1, w1 a, a flat, flat w2, input w2, w2 b, b own, own b, "
        "input later, later minus, minus scaled, scaled b, b output",
        w1=first,
        a=lif((4,)),
        flat=nir.Flatten(np.array([4]), 0, -1),
        w2=second,
        b=lif((4,)),
        own=own,
        later=nir.Delay(np.array(steps) * DT),
        minus=nir.Scale(-np.ones(4)),
        scaled=nir.Scale(np.full(4, 0.5)),
    )
    network = from_nir(found, T)
    assert network.timesteps == T + 2
    assert [each.sources for each in network.layers[1].inputs] == [
        (Source("w1", 1), Source("input", 2)),
        (Source("w2", 1),),
        (Source("input", 5 if min(steps) == 3 else (5, 2, 7, 3), -1),),
    ]
    x = (rng.random((T, 4)) < 0.5).astype(np.int64)
    a = b = va = vb = np.zeros(4)
    expected: list[list[Any]] = [[], []]
    for t in range(T):
        a, va = neurons(first.weight @ x[t] + first.bias, va, a)
        current = second.weight @ (a + x[t]) + second.bias + own.weight @ b + own.bias
        late = np.array(
            [x[t - step, channel] if t >= step else 0 for channel, step in enumerate(steps)]
        )
        b, vb = neurons(current - 0.5 * late, vb, b)
        expected[0].append(a)
        expected[1].append(b)
    for layer, want in zip(fired(network, x > 0), expected, strict=True):
        assert np.array_equal(layer, want)
        assert 0.1 < layer.mean() < 0.9


def test_a_shortcut_waits_for_the_longest_way() -> None:
    """Spikes that go straight to neurons are summed by one input; a Scale behind two weights is
    that of both.
    """
    found = graph(
        "input w1, w1 a, a w2, w2 b, b w4, w4 twice, a w5, w5 twice, twice c, b c, c output, input "
        "c",
        **{name: dense() for name in ("w1", "w2", "w4", "w5")},
        a=lif((4,)),
        b=lif((4,)),
        c=lif((4,)),
        twice=nir.Scale(np.full(4, 2.0)),
    )
    network = from_nir(found, T)
    assert [each.sources for each in network.layers[2].inputs] == [
        (Source("w2", 1),),
        (Source("w1", 2),),
        (Source("w2", 1), Source("input", 3)),
    ]
    assert [each.gain[0, 0] for each in network.layers[2].inputs] == [2, 2, 1]
    assert network.timesteps == T + 3


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_loop_through_two_layers_needs_a_delay(steps: int) -> None:
    nodes = {"w1": dense(), "a": lif((4,)), "w2": dense(), "b": lif((4,)), "back": dense()}
    nodes["delay"] = nir.Delay(np.full(4, steps * DT))
    found = graph("input w1, w1 a, a w2, w2 b, b output, b delay, delay back, back a", **nodes)
    if steps == 1:
        message = (
            "node 'a' → node 'b' → node 'a': form a loop of 2 layers, whose spikes are back sooner"
        )
        with pytest.raises(spikesam.NetworkError, match=message):
            from_nir(found, T)
        return
    network = from_nir(found, T)
    assert network.layers[0].inputs[1].sources == (Source("w2", steps - 1),)
    assert network.has_loops


@pytest.mark.parametrize("seconds", [1.5 * DT, -DT, 1e308, [DT, DT, DT, 2.5 * DT], [0, 0, 0, -DT]])
def test_delays_that_are_no_steps(seconds: Any) -> None:
    delay = nir.Delay(np.broadcast_to(seconds, 4))
    found = graph("input delay, delay w, w a, a output", delay=delay, w=dense(), a=lif((4,)))
    with pytest.raises(
        spikesam.NetworkError, match="node 'delay': delay is .*, expected whole numbers of steps"
    ):
        from_nir(found, T)


def test_delays_of_channels() -> None:
    nodes = {"w": dense(), "a": lif((4,)), "again": nir.Delay(np.full(4, DT))}
    nodes["delay"] = nir.Delay(np.array([0, 1, 2, 1]) * DT)
    network = from_nir(graph("input delay, delay again, again w, w a, a output", **nodes), T)
    assert network.layers[0].inputs[0].sources == (Source("input", (2, 3, 4, 3)),)
    del nodes["again"]
    network = from_nir(graph("input w, w delay, delay a, a output", **nodes), T)
    inputs = network.layers[0].inputs
    assert [given.sources for given in inputs] == [(Source("input", lag),) for lag in (1, 2, 3)]
    driven = [given.weight.any(axis=1).tolist() for given in inputs]
    assert driven == [[lag == each for each in (0, 1, 2, 1)] for lag in range(3)]
    nodes["delay"] = nir.Delay(np.array([[[0, 1]], [[1, 1]]]) * DT)
    with pytest.raises(
        spikesam.NetworkError, match=r"node 'delay': its delay has shape \(2, 1, 2\), expected one"
    ):
        from_nir(graph("input delay, delay w, w a, a output", **nodes), T)
    with pytest.raises(
        spikesam.NetworkError, match="reads 'input' 4 steps later, expected less than T = 2"
    ):
        from_nir(
            graph(
                "input delay, delay w, w a, a output",
                **{**nodes, "delay": nir.Delay(np.arange(4.0) * DT)},
            ),
            1,
        )


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "kind"), [("sub", "noBias_ref_subtract"), ("zero", "bias_ref_zero")]
)
def test_braille(name: str, kind: str, shared: Path, tmp_path: Path) -> None:
    """With reset to zero snnTorch's neurons also lose their current, which NIR's keep: those spikes
    are others.
    """
    folder, reset = shared / "data/networks/braille", {"sub": "subtract", "zero": "zero"}[name]
    network = from_nir(folder / f"braille_{name}.nir", 1024, reset=reset)  # type: ignore[arg-type]
    assert [[each.sources[0].layer for each in layer.inputs] for layer in network.layers] == [
        ["input", "fc1"],
        ["fc1"],
    ]
    spikes = np.random.default_rng(0).random((1024, 12)) < 0.1
    model = braille(shared, kind, reset)
    if name == "sub":  # which the import proves; a reset to zero of snnTorch's is refused
        spikesam.from_torch(model, torch.tensor(spikes[:256, None]).float())
    with torch.no_grad(), spikesam.record(model, tmp_path) as recording:
        recording.finish(model(torch.tensor(spikes[:, None]).float()))
    theirs = [recording.raster[name][0][:, :, 0, 0] for name in ("lif1", "lif2")]
    ours = fired(network, spikes)
    differ = sum(int((one != other).sum()) for one, other in zip(ours, theirs, strict=True))
    assert all(layer.any() for layer in ours)
    assert differ == 0 if name == "sub" else differ > 100
