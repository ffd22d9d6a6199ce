"""Models whose neurons fire up to D spikes a step, as functions or modules, and the blocks that have them."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from spikesam.backends.network import Network, NetworkError
from tests.pipeline.imports.models import Written


class Counts(nn.Module):
    """round(x), half to even or up, of 0 … most; divided by `most`."""

    def __init__(self, most: int = 4, up: bool = False) -> None:
        super().__init__()
        self.most, self.up = most, up

    def forward(self, x: Tensor) -> Tensor:
        limited = torch.clamp(x, 0, self.most)
        return (torch.floor(limited + 0.5) if self.up else limited.round()) / self.most


class Bordered(nn.Module):
    """Normalisation, and a border of what it makes of zeros, which is written side by side."""

    def __init__(self, channels: int, around: int = 1, other: float = 0.0, sides: int = 4) -> None:
        super().__init__()
        self.norm, self.around, self.other, self.sides = nn.BatchNorm2d(channels), around, other, sides

    def forward(self, x: Tensor) -> Tensor:
        n, norm = self.around, self.norm
        x = functional.pad(norm(x), [n] * 4)
        beyond = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt() + self.other
        sides = [(slice(n), ...), (slice(-n, None), ...), (..., slice(n)), (..., slice(-n, None))]
        for side in sides[: self.sides]:
            x[(slice(None), slice(None), *side)] = beyond[:, None, None]
        return x


def drawn(module: nn.Module, seed: int = 0) -> nn.Module:
    """With random normalisation that lets neurons fire several spikes."""
    torch.manual_seed(seed)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(each.running_mean, 0, 0.2)
            nn.init.uniform_(each.running_var, 0.2, 0.7)
            nn.init.uniform_(each.weight, 1, 3)
            nn.init.normal_(each.bias, 0.5, 0.5)
        elif isinstance(each, nn.Linear):
            nn.init.normal_(each.weight, 0, 0.3)
    return module.eval()


def imported(model: nn.Module, example: Tensor, *backends: str, **about: Any) -> Network:
    """The network, whose bits are proved on import, the same in integers on all backends."""
    network = spikesam.from_torch(model, example, **about)
    found = str(spikesam.compare(model, network, example, backends=backends or ("event", "torch")))
    assert found.count(": 0 of") == len(backends or "12")
    assert f"fixed point is the same bits on {', '.join(backends or ('event', 'torch'))}" in found
    return network


def images() -> Tensor:
    return torch.rand(3, 2, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_rounded_numbers_are_planes_of_neurons_without_memory(up: bool, steps: int) -> None:
    layers = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), Counts(3, up), nn.Flatten(), nn.Linear(196, 5), Counts(2, up)
    network = imported(drawn(nn.Sequential(*layers)), images(), timesteps=steps)
    assert [layer.name for layer in network.layers][:3] == ["counts_2_1", "counts_2_2", "counts_2_3"]
    neurons = [layer.spiking_neuron for layer in network.layers[:3]]
    assert [each.threshold for each in neurons] == [0.5, 1.5, 2.5] and {each.reset for each in neurons} == {"zero"}
    assert [each.fires_at_threshold for each in neurons] == [up, True, up]
    assert len(network.layers[0].inputs) == 1  # planes of neurons without memory need not hear of each other
    assert network.layers[0].inputs[0].weight is network.layers[2].inputs[0].weight  # kept once


def separable(channels: int, around: int = 1, **border: Any) -> nn.Module:
    """A convolution in three parts, between which a border is written."""
    parts = nn.Conv2d(channels, channels, 1, bias=False), Bordered(channels, around, **border)
    deep = nn.Conv2d(channels, channels, 2 * around + 1, groups=channels, bias=False), nn.Conv2d(channels, channels, 1)
    return nn.Sequential(*parts, *deep, nn.BatchNorm2d(channels))


def in_block(module: nn.Module, channels: int = 4) -> nn.Module:
    """A module between neurons, whose currents are added to those before, as membrane shortcuts are."""

    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.norm(m.conv(x))
        return m.last((x + m.module(m.first(x))).flatten(1))

    parts = {"conv": nn.Conv2d(2, channels, 3, padding=1), "norm": nn.BatchNorm2d(channels)}
    return drawn(Written(forward, **parts, first=Counts(), module=module, last=Counts(2)))


@pytest.mark.parametrize("around", [1, 2])
def test_a_border_of_what_normalisation_makes_of_zeros_is_one_of_zeros_in_front_of_it(around: int) -> None:
    network = imported(in_block(separable(4, around)), images(), timesteps=1)
    kernel = network.layers[network.place("last_1") - 1].inputs[1]
    assert kernel.weight.shape == (4, 4, 2 * around + 1, 2 * around + 1) and kernel.padding == around
    assert not any("bias" in layer.name for layer in network.layers)  # no layer of ones


def test_the_border_may_be_right_around_spikes() -> None:
    network = imported(in_block(separable(4)[1:]), images(), timesteps=1)
    assert network.layers[network.place("last_1") - 1].inputs[1].padding == 1


@pytest.mark.parametrize("border", [{"other": 0.3}, {"sides": 3}])
def test_another_border_is_refused(border: dict[str, Any]) -> None:
    with pytest.raises(NetworkError, match="writes a border, expected all of it, of what the batch normalisation in"):
        spikesam.from_torch(in_block(separable(4, **border)), images(), timesteps=1)


def test_a_border_and_more_is_refused() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        x = functional.pad(m.norm(x), [1] * 4)
        x[:, :, :2] = 0.0
        return m.conv(x)

    model = in_block(Written(forward, norm=nn.BatchNorm2d(4), conv=nn.Conv2d(4, 4, 3)))
    with pytest.raises(NetworkError, match="overwrites it"):
        spikesam.from_torch(model, images(), timesteps=1)


def pyramid(m: Any, x: Tensor) -> Tensor:
    """Maxima of maxima of currents, side by side, as in spatial pyramid pooling."""
    found = [x := m.conv(x)]
    found += [x := functional.max_pool2d(x, 3, 1, 1) for _ in range(2)]
    return m.last(torch.cat(found, 1))


@pytest.mark.parametrize(("rows", "largest"), [(9, (5, 2)), (1, ((1, 5), (0, 2)))])
def test_maxima_of_padded_maxima(rows: int, largest: tuple[Any, Any]) -> None:
    model = in_block(Written(pyramid, conv=nn.Conv2d(4, 3, 1), last=nn.Sequential(Counts(), nn.Conv2d(9, 4, 1))))
    model.get_submodule("module.conv").bias.data += 1  # so that all fire
    network = imported(model, images()[..., :rows, :], timesteps=1)
    layer = next(layer for layer in network.layers if layer.name.startswith("module_last"))
    windows = [(each.current_pool, each.current_padding) for each in layer.inputs]
    assert windows == [(1, 0), (3, 1), largest]


def test_currents_of_single_places_may_be_upsampled() -> None:
    parts = nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3), nn.Upsample(scale_factor=2), Counts(), nn.Conv2d(3, 4, 2, stride=2)
    network = imported(in_block(nn.Sequential(*parts)), images(), timesteps=1)
    assert network.layers[4].inputs[0].spread == (1, 2, 2)


@pytest.fixture
def membranes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], nn.Module]:
    """Neurons as SpikeYOLO has them, from a module of that name."""
    file = ModuleType("ultralytics.nn.modules.yolo_spikformer")
    code = """
class MultiSpike4(nn.Module):
    def forward(self, x):
        return x.clamp(0, 4).round()

class mem_update(nn.Module):
    def __init__(self):
        super().__init__()
        self.qtrick = MultiSpike4()

    def forward(self, x):
        fired = [self.qtrick(held := x[0])]
        for current in x[1:]:
            held = (held - fired[-1]) * decay + current
            fired.append(self.qtrick(held))
        return torch.stack(fired)
"""
    file.__dict__.update(nn=nn, torch=torch, decay=0.25)
    exec(code, file.__dict__)
    monkeypatch.setitem(sys.modules, file.__name__, file)
    made: Callable[[], nn.Module] = file.__dict__["mem_update"]
    return made


@pytest.mark.parametrize("steps", [1, 3])
def test_neurons_of_spikeyolo_are_planes(membranes: Callable[[], nn.Module], steps: int) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.norm(m.conv(x.flatten(0, 1))).unflatten(0, (steps, -1))
        x = m.first(x)
        return m.last(m.out(x.flatten(2)))

    parts = {"conv": nn.Conv2d(2, 4, 3), "norm": nn.BatchNorm2d(4), "out": nn.Linear(196, 5)}
    model = drawn(Written(forward, **parts, first=membranes(), last=membranes()))
    network = imported(model, torch.rand(steps, 3, 2, 9, 9), "event", "torch")
    assert [layer.name for layer in network.layers][:4] == [f"first_{number}" for number in range(1, 5)]
    subtracted = [source.layer for each in network.layers[1].inputs[1:] for source in each.sources]
    assert subtracted == [f"first_{number}" for number in (1, 3, 4)] * (steps > 1)  # at one step nothing comes back
    model.first.qtrick = nn.Identity().eval()
    with pytest.raises(
        NetworkError, match="'first' .mem_update.: rounds by Identity, expected MultiSpike4 or the like"
    ):
        spikesam.from_torch(model, torch.rand(steps, 3, 2, 9, 9))


class Attending(nn.Module):
    """Attention of neurons that fire several spikes, as in Spike-driven Transformer V3; values may be wider."""

    def __init__(self, channels: int, wider: int, most: int, sums_first: bool) -> None:
        super().__init__()
        self.heads, self.sums_first = 2, sums_first
        for name, outputs in (("q", channels), ("k", channels), ("v", wider * channels)):
            out = nn.Conv2d(channels, outputs, 1), nn.BatchNorm2d(outputs), Counts(most)
            self.add_module(name, nn.Sequential(separable(channels), *out))
        self.fires, self.out = Counts(most), nn.Conv2d(wider * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        of_heads = [getattr(self, name)(x).flatten(2).unflatten(1, (self.heads, -1)).mT for name in "qkv"]
        q, k, v = (each.contiguous() for each in of_heads)
        found = (q @ (k.mT @ v) if self.sums_first else (q @ k.mT) @ v) * 0.5
        tokens = self.fires(found.mT.flatten(1, 2).contiguous())
        made: Tensor = self.out(tokens.unflatten(2, x.shape[2:]))
        return made


@pytest.mark.parametrize(("wider", "most", "sums_first"), [(1, 3, True), (4, 2, False)])
def test_attention_of_counts_is_of_sums_of_planes(wider: int, most: int, sums_first: bool) -> None:
    network = imported(in_block(Attending(4, wider, most, sums_first)), images(), timesteps=1)
    layer = network.layers[network.place("module_fires_1") - 1]
    assert (layer.inputs[0].heads, layer.inputs[0].planes) == (2, most)
    assert [each.layer for each in layer.inputs[0].sources] == [
        f"module_{name}_3_{number}" for name in "qkv" for number in range(1, most + 1)
    ]
    assert network.shapes[network.place("module_fires_1")] == (4 * wider, 9, 9)
