"""Models that multiply spikes, attention and gates, and those whose neurons fire several spikes a
step.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, einsum, nn
from torch.nn import functional

import spikesam
from spikesam.backends.network import Attention, NetworkError
from tests.pipeline.imports.models import Jelly, Written, imported, loud, spikes
from tests.pipeline.imports.transformers import TRANSFORMERS, calibrated

pytest.importorskip("spikingjelly")


def lif(threshold: float = 1.0) -> nn.Module:
    made: nn.Module = Jelly("neuron").LIFNode(tau=2.0, v_threshold=threshold, step_mode="m")
    return made


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_of_spikingjelly(name: str) -> None:
    torch.manual_seed(0)
    make, side, blocks, heads, spread = TRANSFORMERS[name]
    example = 3 * torch.rand(2, 3, side, side)
    network = imported(calibrated(make(), example), example, timesteps=4)
    products = [
        layer
        for layer in network.layers
        if not layer.inputs[0].synapse.channels or layer.name.endswith("_and")
    ]
    assert len(products) == blocks
    synapses = [given.synapse for layer in network.layers for given in layer.inputs]
    attending = (synapse for synapse in synapses if isinstance(synapse, Attention))
    assert max((synapse.heads for synapse in attending), default=0) == heads
    assert [synapse.spread for synapse in synapses if synapse.spread != (1, 1, 1)] == spread


@pytest.mark.parametrize(("kind", "threshold"), [("AND", 1.5), ("IAND", 0.5)])
def test_gates_of_sew(kind: str, threshold: float) -> None:
    torch.manual_seed(0)
    example = spikes(4, 1, 3, 32, 32, density=0.4)
    model = Jelly("model.sew_resnet").sew_resnet18(
        cnf=kind, spiking_neuron=Jelly("neuron").LIFNode, num_classes=10
    )
    Jelly("functional").set_step_mode(model, "m")
    network = imported(calibrated(model, example, 1), example)
    gates = [
        layer
        for layer in network.layers
        if not any(given.synapse.channels for given in layer.inputs)
    ]
    assert len(gates) == 8
    assert {layer.neuron.threshold for layer in gates} == {threshold}


def tokens_first(query: Tensor, key: Tensor, value: Tensor, _: Any) -> Tensor:
    return query @ (key.transpose(-2, -1) @ value) * 0.125


ORDERS: dict[str, Callable[[Tensor, Tensor, Tensor, Any], Tensor]] = {
    "tokens first": tokens_first,
    "channels first": lambda q, k, v, _: (q @ k.mT * 0.125) @ v,
    "einsum in two steps": lambda q, k, v, _: einsum(
        "tbhnm,tbhmd->tbhnd", einsum("tbhnd,tbhmd->tbhnm", q, k), v
    ),
    "einsum at once": lambda q, k, v, _: einsum("tbhnc,tbhmc,tbhme->tbhne", q, k, v) / 8,
    "transposed": lambda q, k, v, _: 0.125 * (v.mT @ (q @ k.mT).mT).mT,
}
REFUSED: dict[str, Callable[[Tensor, Tensor, Tensor, Any], Tensor]] = {
    "module 'v_lif' and torch.Tensor.softmax, behind a product of spikes of module 'q_lif' and "
    "module 'k_lif', ": (lambda q, k, v, _: (q @ k.mT).softmax(-1) @ v),
    "and module 'k_lif': a mask or a relative position, expected one": lambda q, k, v, m: (
        (q @ k.mT * m.position) @ v
    ),
    "'norm' (LayerNorm), behind module 'k_lif', which is not linear": lambda q, k, v, m: (
        q * m.norm(k) * v
    ),
    "gelu, behind a product of spikes of module 'q_lif'": lambda q, k, v, m: (
        functional.gelu(q @ k.mT) @ v
    ),
    "behind a product of module 'q_lif' and module 'k_lif', whose other": lambda q, k, v, m: (
        q @ k.mT @ m.numbers
    ),
    "a product with 1 · s + 0.5 of module 'v_lif', expected spikes": lambda q, k, v, m: (
        q @ k.mT @ (v + m.numbers[0])
    ),
    "mul, behind module 'q_lif' and module 'k_lif' and module 'v_lif', a product with a sum of "
    "module 'q_lif' and": (lambda q, k, v, _: (q + k) * v),
    "a product with a sum of module 'v_lif' and module 'q_lif'": lambda q, k, v, _: (
        q @ k.mT @ (v - q)
    ),
    "torch.Tensor.__getitem__, behind a product of spikes of": lambda q, k, v, _: (
        (q @ k.mT)[..., :4] + v
    ),
    "a product with 1 · s + 0.5 of module 'q_lif', expected spikes of 0 and 1": lambda q, k, v, m: (
        (q + m.numbers[0]) * (k + m.numbers[0]) * (v + m.numbers[0])
    ),
    "the channels of module 'k_lif' are in another order, expected": lambda q, k, v, _: (
        q @ k[..., ::2, :].mT @ v[..., ::2, :]
    ),
    "module 'v_lif', attention of different samples or steps": lambda q, k, v, _: (
        q.flip(0) @ k.mT @ v
    ),
    "a product of different samples or steps": lambda q, k, v, _: q.flip(0) * k,
    "a sum of different neurons or steps": lambda q, k, v, _: q.flip(0) + k,
    "attention of unlike heads, expected q, k and v of one": lambda q, k, v, _: tokens_first(
        q, k.flip(2), v, _
    ),
}


class Attending(nn.Module):
    """A block as the authors of Spikformer write it: tokens (T, B, N, C), linear layers, heads that
    are permuted.
    """

    def __init__(
        self, order: Callable[[Tensor, Tensor, Tensor, Any], Tensor], channels: int = 16
    ) -> None:
        super().__init__()
        self.order, self.conv, self.lif = order, nn.Conv2d(2, channels, 3, padding=1), lif()
        for name in ("q", "k", "v", "proj", "mlp"):
            self.add_module(f"{name}_linear", nn.Linear(channels, channels))
            self.add_module(f"{name}_bn", nn.BatchNorm1d(channels))
            self.add_module(f"{name}_lif", lif())
        self.attn_lif, self.head, self.norm = lif(0.5), nn.Linear(channels, 5), nn.LayerNorm(4)
        self.register_buffer("position", torch.rand(24, 24))
        self.register_buffer("numbers", torch.full((24, 4), 0.5))

    def of_tokens(self, name: str, x: Tensor) -> Tensor:
        linear, norm, neurons = (
            self.get_submodule(f"{name}_{part}") for part in ("linear", "bn", "lif")
        )
        made: Tensor = neurons(norm(linear(x.flatten(0, 1)).mT).mT.reshape(x.shape))
        return made

    def forward(self, x: Tensor) -> Any:
        x = self.lif(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])).flatten(3).mT
        heads = [self.of_tokens(name, x).unflatten(3, (4, -1)).transpose(2, 3) for name in "qkv"]
        attended = self.attn_lif(self.order(*heads, self).transpose(2, 3).flatten(3))
        x = x + self.of_tokens("proj", attended)
        return self.head((x + self.of_tokens("mlp", x)).mean(2).mean(0))


def attending(order: Callable[[Tensor, Tensor, Tensor, Any], Tensor]) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    example = 3 * torch.rand(5, 2, 2, 4, 6)
    return calibrated(Attending(order), example), example


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_attention_in_any_order(order: Callable[[Tensor, Tensor, Tensor, Any], Tensor]) -> None:
    """Sums of tokens behind it keep the order of maps, so that linear layers of them are
    convolutions of 1 × 1.
    """
    network = imported(*attending(order))
    (given,), (mixed,) = (
        network.layers[network.place(name) - 1].inputs for name in ("attn_lif", "mlp_lif")
    )
    assert [source.layer for source in given.sources] == ["q_lif", "k_lif", "v_lif"]
    assert (given.synapse.heads, network.shapes[network.place("attn_lif")]) == (4, (16, 4, 6))
    assert mixed.weight.shape == (16, 16, 1, 1) and [source.layer for source in mixed.sources] == [
        "lif",
        "proj_lif",
    ]


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_linear_in_spikes(message: str) -> None:
    with pytest.raises(NetworkError) as refused:
        spikesam.from_torch(*attending(REFUSED[message]))
    assert str(refused.value).startswith(
        "from_torch: module 'attn_lif' (LIFNode): its input comes from "
    )
    assert message in str(refused.value)


def test_sums_of_unlike_counts_are_refused() -> None:
    named = (
        "sums of 1 and 1 and 2 layers, which are module 'q_lif' and module 'k_lif' and module "
        "'v_lif' and"
    )
    with pytest.raises(NetworkError, match=named):
        spikesam.from_torch(*attending(lambda q, k, v, _: q @ k.mT @ (v + q)))


def test_an_answer_of_too_many_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesam.pipeline.imports.road.build.MOST_WEIGHTS", 95 * 144)
    model = Written(
        lambda m, x: m.last(m.lif(m.conv(x.flatten(0, 1)))),
        conv=nn.Conv2d(2, 4, 1),
        lif=lif(0.1),
        last=nn.Conv2d(4, 4, 1),
    )
    with pytest.raises(
        NetworkError,
        match="'last' .Conv2d.: is 144 numbers of 144 neurons, .* such as the mean of each",
    ):
        spikesam.from_torch(loud(model), spikes(4, 3, 2, 6, 6, density=0.5))


def test_upsampling_repeats_spikes() -> None:
    torch.manual_seed(0)
    node = Jelly("neuron").LIFNode
    first = nn.Conv2d(1, 4, 3, stride=2, padding=1), node(step_mode="s", v_threshold=0.1)
    last = nn.Conv2d(4, 2, 3, padding=1), node(step_mode="s", v_threshold=0.1), nn.Flatten()
    model = nn.Sequential(*first, nn.Upsample(scale_factor=(2, 4)), *last)
    network = imported(loud(model), 9 * torch.rand(5, 2, 1, 6, 6))
    assert network.layers[1].inputs[0].synapse.spread == (1, 2, 4)
    smooth = nn.Sequential(
        *model[:2], nn.Upsample(scale_factor=2, mode="bilinear"), *model[3:]
    ).eval()
    with pytest.raises(
        NetworkError, match="makes .* with mode='bilinear', expected rows and columns that are rep"
    ):
        spikesam.from_torch(smooth, 9 * torch.rand(5, 2, 1, 6, 6))


def counting(m: Any, x: Tensor) -> Tensor:
    """Neurons that fire up to three spikes a step, and the sum of two layers of them."""
    x = m.n1(3 * m.a(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
    y = m.n2(3 * m.b(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
    return m.last(2 * m.c((x + y).flatten(2)))


def test_integer_spikes_are_planes_of_bits() -> None:
    torch.manual_seed(3)
    count = Jelly("surrogate").MultiLevelSpikeCount(3)
    synapses = {
        "a": nn.Conv2d(2, 4, 3, padding=1),
        "b": nn.Conv2d(4, 4, 3, padding=1),
        "c": nn.Linear(144, 5),
    }
    fire = {
        name: Jelly("neuron").ILIFNode(step_mode="m", surrogate_function=count)
        for name in ("n1", "n2")
    }
    network = imported(
        Written(counting, **synapses, **fire, last=lif()).eval(), spikes(8, 3, 2, 6, 6, density=0.5)
    )
    assert [layer.name for layer in network.layers] == [
        "n1_1",
        "n1_2",
        "n1_3",
        "n2_1",
        "n2_2",
        "n2_3",
        "last",
    ]
    assert [layer.neuron.threshold for layer in network.layers[:3]] == [0.5, 1.5, 2.5]
    assert [layer.neuron.fires_at_threshold for layer in network.layers[:3]] == [
        False,
        True,
        False,
    ]  # half to even


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
        self.norm, self.around, self.other, self.sides = (
            nn.BatchNorm2d(channels),
            around,
            other,
            sides,
        )

    def forward(self, x: Tensor) -> Tensor:
        n, norm = self.around, self.norm
        x = functional.pad(norm(x), [n] * 4)
        beyond = (
            norm.bias
            - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
            + self.other
        )
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


def images() -> Tensor:
    return torch.rand(3, 2, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_rounded_numbers_are_planes_of_neurons_without_memory(up: bool, steps: int) -> None:
    layers = (
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        Counts(3, up),
        nn.Flatten(),
        nn.Linear(196, 5),
        Counts(2, up),
    )
    network = imported(drawn(nn.Sequential(*layers)), images(), timesteps=steps)
    assert [layer.name for layer in network.layers][:3] == [
        "counts_2_1",
        "counts_2_2",
        "counts_2_3",
    ]
    neurons = [layer.spiking_neuron for layer in network.layers[:3]]
    assert [each.threshold for each in neurons] == [0.5, 1.5, 2.5] and {
        each.reset for each in neurons
    } == {"zero"}
    assert [each.fires_at_threshold for each in neurons] == [up, True, up]
    assert (
        len(network.layers[0].inputs) == 1
    )  # planes of neurons without memory need not hear of each other
    assert network.layers[0].inputs[0].weight is network.layers[2].inputs[0].weight  # kept once


HALVES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "of each channel": (
        lambda x: x + torch.full((4, 1, 1), 0.5),
        "comes from torch.Tensor.clamp, behind module 'norm'",
    ),
    "times two": (
        lambda x: torch.add(x, 0.5, alpha=2),
        "comes from torch.Tensor.clamp, behind module 'norm'",
    ),
    "twice": (lambda x: x + 0.5 + 0.5, "comes from torch.Tensor.clamp, behind module 'norm'"),
    "a tensor": (lambda x: torch.tensor(0.5) + x, ""),
}


@pytest.mark.parametrize("name", HALVES)
def test_a_half_makes_floor_round_up(name: str) -> None:
    adds, message = HALVES[name]

    def forward(m: Any, x: Tensor) -> Tensor:
        return m.last(torch.floor(adds(m.norm(m.conv(m.first(4 * x))).clamp(0, 3))).flatten(1))

    parts = {"conv": nn.Conv2d(2, 4, 3), "norm": nn.BatchNorm2d(4)}
    last = nn.Sequential(nn.Linear(196, 5), Counts(2))
    model = drawn(Written(forward, **parts, first=Counts(), last=last))
    if message:
        with pytest.raises(NetworkError, match=message):
            spikesam.from_torch(model, images(), timesteps=1)
    else:
        imported(model, images(), timesteps=1)


def separable(channels: int, around: int = 1, **border: Any) -> nn.Module:
    """A convolution in three parts, between which a border is written."""
    parts = nn.Conv2d(channels, channels, 1, bias=False), Bordered(channels, around, **border)
    deep = (
        nn.Conv2d(channels, channels, 2 * around + 1, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1),
    )
    return nn.Sequential(*parts, *deep, nn.BatchNorm2d(channels))


def in_block(module: nn.Module, channels: int = 4) -> nn.Module:
    """A module between neurons, whose currents are added to those before, as membrane shortcuts
    are.
    """

    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.norm(m.conv(x))
        return m.last((x + m.module(m.first(x))).flatten(1))

    parts = {"conv": nn.Conv2d(2, channels, 3, padding=1), "norm": nn.BatchNorm2d(channels)}
    return drawn(Written(forward, **parts, first=Counts(), module=module, last=Counts(2)))


@pytest.mark.parametrize("around", [1, 2])
def test_a_border_of_what_normalisation_makes_of_zeros_is_one_of_zeros_in_front_of_it(
    around: int,
) -> None:
    network = imported(in_block(separable(4, around)), images(), timesteps=1)
    kernel = network.layers[network.place("last_1") - 1].inputs[1]
    assert (
        kernel.weight.shape == (4, 4, 2 * around + 1, 2 * around + 1)
        and kernel.synapse.padding == around
    )
    assert not any("bias" in layer.name for layer in network.layers)  # no layer of ones


def test_the_border_may_be_right_around_spikes() -> None:
    network = imported(in_block(separable(4)[1:]), images(), timesteps=1)
    assert network.layers[network.place("last_1") - 1].inputs[1].synapse.padding == 1


@pytest.mark.parametrize("border", [{"other": 0.3}, {"sides": 3}])
def test_another_border_is_refused(border: dict[str, Any]) -> None:
    with pytest.raises(
        NetworkError,
        match="writes a border, expected all of it, of what the batch normalisation in",
    ):
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
    model = in_block(
        Written(pyramid, conv=nn.Conv2d(4, 3, 1), last=nn.Sequential(Counts(), nn.Conv2d(9, 4, 1)))
    )
    model.get_submodule("module.conv").bias.data += 1  # so that all fire
    network = imported(model, images()[..., :rows, :], timesteps=1)
    layer = next(layer for layer in network.layers if layer.name.startswith("module_last"))
    windows = [(each.synapse.current_pool, each.synapse.current_padding) for each in layer.inputs]
    assert windows == [(1, 0), (3, 1), largest]


def test_currents_of_single_places_may_be_upsampled() -> None:
    parts = (
        nn.Conv2d(4, 3, 1),
        nn.BatchNorm2d(3),
        nn.Upsample(scale_factor=2),
        Counts(),
        nn.Conv2d(3, 4, 2, stride=2),
    )
    network = imported(in_block(nn.Sequential(*parts)), images(), timesteps=1)
    assert network.layers[4].inputs[0].synapse.spread == (1, 2, 2)


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
    network = imported(model, torch.rand(steps, 3, 2, 9, 9))
    assert [layer.name for layer in network.layers][:4] == [
        f"first_{number}" for number in range(1, 5)
    ]
    subtracted = [source.layer for each in network.layers[1].inputs[1:] for source in each.sources]
    assert subtracted == [f"first_{number}" for number in (1, 3, 4)] * (
        steps > 1
    )  # at one step nothing comes back
    model.first.qtrick = nn.Identity().eval()
    with pytest.raises(
        NetworkError,
        match="'first' .mem_update.: rounds by Identity, expected MultiSpike4 or the like",
    ):
        spikesam.from_torch(model, torch.rand(steps, 3, 2, 9, 9))


class AttendingCounts(nn.Module):
    """Attention of neurons that fire several spikes, as in Spike-driven Transformer V3; values may
    be wider.
    """

    def __init__(self, channels: int, wider: int, most: int, sums_first: bool) -> None:
        super().__init__()
        self.heads, self.sums_first = 2, sums_first
        for name, outputs in (("q", channels), ("k", channels), ("v", wider * channels)):
            out = nn.Conv2d(channels, outputs, 1), nn.BatchNorm2d(outputs), Counts(most)
            self.add_module(name, nn.Sequential(separable(channels), *out))
        self.fires, self.out = Counts(most), nn.Conv2d(wider * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        of_heads = [
            getattr(self, name)(x).flatten(2).unflatten(1, (self.heads, -1)).mT for name in "qkv"
        ]
        q, k, v = (each.contiguous() for each in of_heads)
        found = (q @ (k.mT @ v) if self.sums_first else (q @ k.mT) @ v) * 0.5
        tokens = self.fires(found.mT.flatten(1, 2).contiguous())
        made: Tensor = self.out(tokens.unflatten(2, x.shape[2:]))
        return made


@pytest.mark.parametrize(("wider", "most", "sums_first"), [(1, 3, True), (4, 2, False)])
def test_attention_of_counts_is_of_sums_of_planes(wider: int, most: int, sums_first: bool) -> None:
    network = imported(in_block(AttendingCounts(4, wider, most, sums_first)), images(), timesteps=1)
    layer = network.layers[network.place("module_fires_1") - 1]
    attention = layer.inputs[0].synapse
    assert (attention.heads, attention.planes(layer.inputs[0])) == (2, most)
    assert [each.layer for each in layer.inputs[0].sources] == [
        f"module_{name}_3_{number}" for name in "qkv" for number in range(1, most + 1)
    ]
    assert network.shapes[network.place("module_fires_1")] == (4 * wider, 9, 9)
