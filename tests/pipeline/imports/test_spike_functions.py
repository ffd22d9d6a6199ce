"""Functions of spikes, number by number: they change nothing, or are neurons without memory."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from spikesam.backends.network import Network
from tests.pipeline.imports.models import Written, assert_same_bits, fires, loud, spikes

pytest.importorskip("snntorch")

TWO = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def between(function: Callable[[Any, Tensor], Any]) -> nn.Module:
    """A function of the spikes of two layers, between these and a third."""
    torch.manual_seed(0)

    def step(m: Any, x: Tensor) -> Any:
        return m.lif3(m.c(function(m.lif1(m.a(x)), m.lif2(m.b(x)))))

    parts = {"a": nn.Linear(10, 12), "b": nn.Linear(10, 12), "c": nn.Linear(12, 6)}
    return loud(Written(step, **parts, lif1=fires(), lif2=fires(), lif3=fires()))


def law(model: nn.Module, example: Tensor) -> Network:
    """The network of a model; it fires the model's bits on other dense, sparse and silent input."""
    network = spikesam.from_torch(model, example)
    kinds = [spikes(*example.shape, density=density) for density in (0.9, 0.1, 0.0)]
    assert_same_bits(model, network, torch.cat(kinds, 1))
    return network


UNCHANGED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda a, b: functional.relu(a) + b,
    "relu in place": lambda a, b: nn.ReLU(inplace=True)(a) + b,
    "abs": lambda a, b: a.abs() + abs(b),
    "clamp": lambda a, b: a.clamp(0, 1) + b.clamp_(max=1),
    "hardtanh": lambda a, b: functional.hardtanh(a) + functional.relu6(b),
    "rounded": lambda a, b: a.round() + b.ceil().floor().trunc(),
    "sign": lambda a, b: a.sign() + b.sgn(),
    "truths": lambda a, b: a.bool().float() + b.to(torch.bool).to(a),
    "integers": lambda a, b: a.int() + b.long().float(),
    "doubles": lambda a, b: (a.double() + b.half()).float(),
    "above a half": lambda a, b: (a > 0.5).float() + torch.ge(b, 1).type_as(a),
    "equal": lambda a, b: (a == 1).float() + (b != 0).float(),
    "heaviside": lambda a, b: torch.heaviside(a - 0.5, a.new_zeros(1)) + b,
    "where": lambda a, b: torch.where(a > 0.5, 1.0, 0.0) + b.masked_fill(b < 0.5, 0.0),
    "powers": lambda a, b: a**2 + torch.sqrt(b),
    "sums of counts": lambda a, b: (a + b).relu().clamp(0, 2).round(),
    "halves": lambda a, b: (0.5 * a + 0.5 * b).clamp(0, 1) * 2,
    "a sum of two is an integer": lambda a, b: (a + b).int().float(),
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_changes_no_spike_adds_no_layer(name: str) -> None:
    network = law(between(UNCHANGED[name]), spikes(6, 3, 10))
    plain = spikesam.from_torch(between(lambda a, b: a + b), spikes(6, 3, 10))
    assert network.sha256 == plain.sha256


INVERTED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "not": lambda a, b: (~a.bool()).float() + b,
    "logical not": lambda a, b: torch.logical_not(a).float() + b,
    "below": lambda a, b: (a < 0.5).float() + b,
    "zero": lambda a, b: (a == 0).float() + b,
    "absolute": lambda a, b: (a - 1).abs() + b,
}


@pytest.mark.parametrize("name", INVERTED)
def test_spikes_that_are_inverted_are_one_less_them(name: str) -> None:
    network = law(between(INVERTED[name]), spikes(6, 3, 10))
    assert network.names == ("input", "lif1", "lif2", "lif3")
    (given,) = network.layers[2].inputs
    gain = float(given.gain[0, 0])
    factors = {source.layer: source.sign * gain for source in given.sources}
    assert factors == {"lif1": -1, "lif2": 1}


# What stands between two layers, its values for (0, 0), (0, 1), (1, 0), (1, 1), and the layers.
OR, AND, XOR, BUT = [0, 1, 1, 1], [0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 1, 0]
FUNCTIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], list[int], dict[str, float]]] = {
    "a limited sum": (lambda a, b: torch.clamp(a + b, max=1), OR, {"lif1_or": 0.5}),
    "a limited sum in place": (lambda a, b: (a + b).clamp_(0, 1), OR, {"lif1_or": 0.5}),
    "maximum": (torch.maximum, OR, {"lif1_or": 0.5}),
    "max": (torch.max, OR, {"lif1_or": 0.5}),
    "logical or": (lambda a, b: torch.logical_or(a, b).float(), OR, {"lif1_or": 0.5}),
    "or": (lambda a, b: (a.bool() | b.bool()).float(), OR, {"lif1_or": 0.5}),
    "a sum of truths": (lambda a, b: (a.bool() + b.bool()).float(), OR, {"lif1_or": 0.5}),
    "any": (lambda a, b: ((a + b) > 0).float(), OR, {"lif1_or": 0.5}),
    "a sum as truths": (lambda a, b: (a + b).bool().float(), OR, {"lif1_or": 0.5}),
    "the sign of a sum": (lambda a, b: (a + b).sign(), OR, {"lif1_or": 0.5}),
    "a sum less the product": (lambda a, b: a + b - a * b, OR, {"lif1_and": 1.5}),
    "minimum": (torch.minimum, AND, {"lif1_and": 1.5}),
    "and": (lambda a, b: (a.bool() & b.bool()).float(), AND, {"lif1_and": 1.5}),
    "both": (lambda a, b: (a + b == 2).float(), AND, {"lif1_and": 1.5}),
    "a rounded mean": (
        lambda a, b: torch.div(a + b, 2, rounding_mode="floor"),
        AND,
        {"lif1_and": 1.5},
    ),
    "where": (lambda a, b: torch.where(a > 0.5, b, 0.0), AND, {"lif1_and": 1.5}),
    "a difference": (lambda a, b: (a - b).relu(), BUT, {"lif1_count": 0.5}),
    "above": (lambda a, b: (a > b).float(), BUT, {"lif1_count": 0.5}),
    "masked": (lambda a, b: a.masked_fill(b.bool(), 0.0), BUT, {"lif1_count": 0.5}),
    "unlike": (lambda a, b: (a != b).float(), XOR, {"lif1_or": 0.5, "lif1_and": 1.5}),
    "xor": (lambda a, b: torch.logical_xor(a, b).float(), XOR, {"lif1_or": 0.5, "lif1_and": 1.5}),
    "an absolute difference": (
        lambda a, b: (a - b).abs(),
        XOR,
        {"lif1_count": 0.5, "lif1_count2": 0.5},
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_two_layers_are_neurons(name: str) -> None:
    function, values, layers = FUNCTIONS[name]
    assert function(*(column.clone() for column in TWO.T)).tolist() == values
    network = law(between(function), spikes(6, 3, 10))
    made = {layer.name: layer.neuron for layer in network.layers if layer.name.startswith("lif1_")}
    assert {name: neuron.threshold for name, neuron in made.items()} == layers
    assert all((neuron.leak, neuron.reset) == (0, "zero") for neuron in made.values())


@pytest.mark.long
@pytest.mark.skipif(not find_spec("lava"), reason="needs lava-nc")
def test_or_and_exclusive_or_are_the_same_on_lava() -> None:
    example = spikes(6, 3, 10)
    model = between(lambda a, b: torch.maximum(a, b) - 0.5 * (a != b).float())
    assert_same_bits(model, spikesam.from_torch(model, example), example, "lava")


def on_maps(function: Callable[[Any, Tensor], Any]) -> nn.Module:
    torch.manual_seed(0)

    def step(m: Any, x: Tensor) -> Any:
        return m.lif3(m.c(function(x, m.lif1(m.a(x)), m.lif2(m.b(x)))).flatten(1))

    parts = {"a": nn.Conv2d(2, 4, 3, padding=1), "b": nn.Conv2d(2, 4, 3, padding=1)}
    last = {"c": nn.LazyConv2d(3, 3)}
    model = Written(step, **parts, **last, lif1=fires(), lif2=fires(), lif3=fires())
    model(spikes(1, 2, 8, 8))
    return loud(model)


ON_MAPS: dict[str, tuple[Callable[[Any, Any, Any], Any], list[str]]] = {
    "pooled": (
        lambda x, a, b: torch.maximum(functional.max_pool2d(a, 2), functional.max_pool2d(b, 2)),
        ["lif1_or"],
    ),
    "pooled with a border": (
        lambda x, a, b: torch.maximum(functional.max_pool2d(a, 3, 1, 1), b),
        ["lif1_max", "lif1_max_or"],
    ),
    "joined": (
        lambda x, a, b: torch.logical_or(torch.cat([x, b], 1), torch.cat([a, x], 1)).float(),
        ["input_or"],
    ),
    "joined and rounded": (lambda x, a, b: torch.cat([x, a, b], 1).round().relu(), []),
    "padded": (lambda x, a, b: functional.pad(a, (1, 1, 1, 1)).clamp(0, 1), []),
    "beside the input": (lambda x, a, b: (x.repeat(1, 2, 1, 1) + a).clamp(max=1), ["input_or"]),
    "three": (lambda x, a, b: ((a + b + a.flip(1)) >= 2).float(), ["lif1_count"]),
    "two of them": (
        lambda x, a, b: torch.maximum(a, b) + torch.maximum(a, b.flip(1)),
        ["lif1_or", "lif1_or2"],
    ),
    "both pooled": (
        lambda x, a, b: torch.minimum(functional.max_pool2d(a, 2), functional.max_pool2d(b, 2)),
        ["lif1_and"],
    ),
    "of a third": (lambda x, a, b: torch.maximum(torch.maximum(a, b), a * b), ["lif1_and"]),
    "limited to two": (lambda x, a, b: (a + b + a.flip(1)).clamp(max=2), ["lif1_or", "lif1_count"]),
}


@pytest.mark.parametrize("name", ON_MAPS)
def test_functions_of_maps(name: str) -> None:
    function, names = ON_MAPS[name]
    network = law(on_maps(lambda *maps: function(*maps) * 1.0), spikes(6, 2, 2, 8, 8))
    made = [layer for layer in network.names if layer not in ("input", "lif1", "lif2", "lif3")]
    assert [layer for layer in made if layer in names] == names


def looped(m: Any, x: Tensor) -> Tensor:
    """Fires where a layer fires or did so at the step before."""
    before, given = torch.zeros(x.shape[1], 12), []
    for step in x:
        spikes = m.lif1(m.a(step))
        given.append(m.lif2(m.b(torch.maximum(spikes, before))))
        before = spikes
    return torch.stack(given)


def test_spikes_of_the_step_before() -> None:
    torch.manual_seed(0)
    parts = {"a": nn.Linear(10, 12), "b": nn.Linear(12, 6)}
    network = law(loud(Written(looped, **parts, lif1=fires(), lif2=fires())), spikes(6, 3, 10))
    gate = network.layers[1]
    assert gate.name == "lif1_or"
    assert [source.delay for given in gate.inputs for source in given.sources] == [1, 2]


REFUSED: dict[str, Callable[[Any, Tensor, Tensor], Any]] = {
    "comes from torch.Tensor.abs, behind module 'b' (Linear), which is not linear": (
        lambda m, x, a: m.b(x).abs()
    ),
    "comes from torch.Tensor.gt, behind module 'b' (Linear), which is not linear": (
        lambda m, x, a: (m.b(x) > 0.5).float()
    ),
    "comes from torch.Tensor.to, behind module 'b' (Linear), which makes torch.int32 of it": (
        lambda m, x, a: m.b(x).to(torch.int32).float()
    ),
    "comes from torch.Tensor.half, behind module 'b' (Linear), which is not linear": (
        lambda m, x, a: m.b(x).half().float()
    ),
    "comes from torch.maximum, behind module 'lif1' and module 'b' (Linear), which is not linear": (
        lambda m, x, a: torch.maximum(a, m.b(x))
    ),
    "torch.Tensor.to, behind module 'lif1', as torch.uint8, in which sums wrap around; expected": (
        lambda m, x, a: a.to(torch.uint8).float()
    ),
    "torch.div, behind module 'b' (Linear), which is not linear": (
        lambda m, x, a: torch.div(m.b(x), 0.5, rounding_mode="floor")
    ),
    "with numbers that differ from neuron to neuron": (
        lambda m, x, a: torch.maximum(a, torch.arange(12) / 12)
    ),
    "of sums of spikes, which are torch.Tensor.mul and module 'lif1', expected spikes of 0 and 1": (
        lambda m, x, a: torch.maximum((a + a.flip(1)) * 1.5, a)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_functions_of_other_numbers_are_refused(message: str) -> None:
    torch.manual_seed(0)

    def step(m: Any, x: Tensor) -> Any:
        return m.lif2(m.c(REFUSED[message](m, x, m.lif1(m.a(x)))))

    parts = {"a": nn.Linear(10, 12), "b": nn.Linear(10, 12), "c": nn.Linear(12, 6)}
    model = loud(Written(step, **parts, lif1=fires(), lif2=fires()))
    with pytest.raises(spikesam.NetworkError, match=re.escape(message)) as caught:
        spikesam.from_torch(model, spikes(6, 3, 10))
    assert "\n" not in str(caught.value)


def test_currents_are_no_spikes() -> None:
    """Of an input of other numbers than 0 and 1, a rectifier is not the identity."""
    torch.manual_seed(0)
    model = loud(nn.Sequential(nn.ReLU(), nn.Linear(10, 6), fires()))
    spikesam.from_torch(model, spikes(6, 3, 10))
    with pytest.raises(spikesam.NetworkError, match="'0' .ReLU., behind the input, which is not"):
        spikesam.from_torch(model, torch.randn(6, 3, 10))
