"""Models that multiply spikes: attention and transformers of SpikingJelly, gates of SEW, attention written by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, einsum, nn
from torch.nn import functional

import spikesam
from spikesam.backends.network import Network, NetworkError
from tests.pipeline.imports.models import Jelly, Written, loud, spikes

pytest.importorskip("spikingjelly")


def calibrated(model: nn.Module, example: Tensor, seed: int = 0) -> nn.Module:
    """With normalisation after the example, and gains with which about a fifth of all neurons fire."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 1.5, 3)
            nn.init.uniform_(module.bias, -0.2, 0.7)
            module.momentum = None
    reset = Jelly("functional").reset_net
    with torch.no_grad():
        model.train()(example)
    reset(model)
    return model.eval()


def lif(threshold: float = 1.0) -> nn.Module:
    made: nn.Module = Jelly("neuron").LIFNode(tau=2.0, v_threshold=threshold, step_mode="m")
    return made


def imported(model: nn.Module, example: Tensor, **about: Any) -> Network:
    """The network, whose bits are proved on import; in integers they are those of torch, too."""
    network = spikesam.from_torch(model, example, **about)
    found = str(spikesam.compare(model, network, example, backends=("event", "torch")))
    assert "event: 0 of" in found and "torch: 0 of" in found
    assert "fixed point is the same bits on event, torch" in found
    return network


def behind(module: nn.Module, channels: int) -> nn.Module:
    """A module of membranes (T, B, C, H, W), between neurons."""

    def forward(m: Any, x: Tensor) -> Tensor:
        return m.last(m.module(m.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))).flatten(2)

    return Written(forward, conv=nn.Conv2d(2, channels, 3, padding=1), module=module, last=lif())


TOKENS = ("TokenQKAttention", "ChannelQKAttention", "SpikingSelfAttention")


@pytest.mark.parametrize("name", [*TOKENS, "SpikeDrivenSelfAttention"])
def test_attention_of_spikingjelly(name: str) -> None:
    torch.manual_seed(0)
    attention = getattr(Jelly("layer"), name)(32, 4)
    example = spikes(6, 2, 32, 16) if name in TOKENS else 3 * torch.rand(6, 2, 2, 4, 4)
    network = imported(calibrated(attention if name in TOKENS else behind(attention, 32), example), example)
    heads = [given.heads for layer in network.layers for given in layer.inputs]
    spread = [given.spread for layer in network.layers for given in layer.inputs if given.spread != (1, 1, 1)]
    expected = {"TokenQKAttention": [(8, 1, 1)], "ChannelQKAttention": [(1, 1, 16)], "SpikingSelfAttention": []}
    assert max(heads) == (4 if name == "SpikingSelfAttention" else 0)
    assert spread == expected.get(name, [(1, 4, 4)])


def qkformer(kind: str) -> nn.Module:
    made: nn.Module = Jelly("model.qkformer").QKFormer(4, 3, 10, 64, (2, 2, 4), (1, 1, 2), 2.0, qka_type=kind)
    return made


def spike_driven() -> nn.Module:
    kind = Jelly("model.spike_driven_transformer").SpikeDrivenTransformer
    made: nn.Module = kind(4, 3, 10, 32, 4, 1, 2.0, pooling_stat="0011")
    return made


# A model, the side of its images, and how many blocks it has.
TRANSFORMERS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "Spikformer": (lambda: Jelly("model.spikformer").Spikformer(4, 3, 32, 32, 4, 10, 32, 4, 2.0, 2), 32, 2),
    "Spike-driven Transformer": (spike_driven, 32, 2),
    "QKFormer, tokens": (lambda: qkformer("token"), 64, 4),
    "QKFormer, channels": (lambda: qkformer("channel"), 64, 4),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_of_spikingjelly(name: str) -> None:
    torch.manual_seed(0)
    make, side, blocks = TRANSFORMERS[name]
    example = 3 * torch.rand(2, 3, side, side)
    network = imported(calibrated(make(), example), example, timesteps=4)
    products = [layer for layer in network.layers if layer.inputs[0].weight is None or layer.name.endswith("_and")]
    assert len(products) == blocks


class Tokens(nn.Module):
    """Tokens (T, B, N, C), as Spikformer's authors have them, steps and samples in one axis in linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.first = nn.Conv2d(2, 8, 3, stride=2, padding=1), lif()
        self.mix = nn.Sequential(nn.Linear(8, 8), lif())
        self.fc1, self.norm, self.fc2 = nn.Linear(8, 12), nn.BatchNorm1d(12), nn.Linear(12, 8)
        self.middle, self.last, self.head = lif(), lif(), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Any:
        x = self.first(self.patch(x.flatten(0, 1)).unflatten(0, x.shape[:2])).flatten(3).transpose(2, 3)
        x = x + self.mix(x)
        hidden = self.norm(self.fc1(x.flatten(0, 1)).mT).mT.reshape(*x.shape[:3], 12)
        x = x + self.last(self.fc2(self.middle(hidden)))
        return self.head(x.mean(2))


def test_residual_sums_of_tokens() -> None:
    """Sums of tokens keep the order of maps, so that linear layers behind them are convolutions of 1 × 1."""
    torch.manual_seed(0)
    example = 3 * torch.rand(4, 2, 2, 6, 4)
    network = imported(loud(calibrated(Tokens(), example)), example)
    kernels = {layer.name: layer.inputs[0].weight for layer in network.layers}
    assert kernels["middle"].shape == (12, 8, 1, 1)
    assert len(network.layers[[*kernels].index("middle")].inputs[0].sources) == 2


@pytest.mark.parametrize(("kind", "threshold"), [("AND", 1.5), ("IAND", 0.5)])
def test_gates_of_sew(kind: str, threshold: float) -> None:
    torch.manual_seed(0)
    example = spikes(4, 1, 3, 32, 32, density=0.4)
    model = Jelly("model.sew_resnet").sew_resnet18(cnf=kind, spiking_neuron=Jelly("neuron").LIFNode, num_classes=10)
    Jelly("functional").set_step_mode(model, "m")
    network = imported(calibrated(model, example, 1), example)
    gates = [layer for layer in network.layers if all(given.weight is None for given in layer.inputs)]
    assert len(gates) == 8
    assert {layer.neuron.threshold for layer in gates} == {threshold}


def tokens_first(query: Tensor, key: Tensor, value: Tensor, _: Any) -> Tensor:
    return query @ (key.transpose(-2, -1) @ value) * 0.125


ORDERS: dict[str, Callable[[Tensor, Tensor, Tensor, Any], Tensor]] = {
    "tokens first": tokens_first,
    "channels first": lambda q, k, v, _: (q @ k.mT * 0.125) @ v,
    "einsum in two steps": lambda q, k, v, _: einsum("tbhnm,tbhmd->tbhnd", einsum("tbhnd,tbhmd->tbhnm", q, k), v),
    "einsum at once": lambda q, k, v, _: einsum("tbhnc,tbhmc,tbhme->tbhne", q, k, v) / 8,
    "transposed": lambda q, k, v, _: 0.125 * (v.mT @ (q @ k.mT).mT).mT,
}
REFUSED: dict[str, Callable[[Tensor, Tensor, Tensor, Any], Tensor]] = {
    "module 'v_lif' and torch.Tensor.softmax, behind a product of spikes of module 'q_lif' and module 'k_lif', ": (
        lambda q, k, v, _: (q @ k.mT).softmax(-1) @ v
    ),
    "and module 'k_lif': a mask or a relative position, expected one": lambda q, k, v, m: (q @ k.mT * m.position) @ v,
    "'norm' (LayerNorm), behind module 'k_lif', which is not linear": lambda q, k, v, m: q * m.norm(k) * v,
    "gelu, behind a product of spikes of module 'q_lif'": lambda q, k, v, m: functional.gelu(q @ k.mT) @ v,
    "behind a product of module 'q_lif' and module 'k_lif', whose other": lambda q, k, v, m: q @ k.mT @ m.numbers,
    "a product with 1 · s + 0.5 of module 'v_lif', expected spikes": lambda q, k, v, m: q @ k.mT @ (v + m.numbers[0]),
    "mul, behind module 'q_lif' and module 'k_lif' and module 'v_lif', a product with a sum of module 'q_lif' and": (
        lambda q, k, v, _: (q + k) * v
    ),
    "a product with a sum of module 'v_lif' and module 'q_lif'": lambda q, k, v, _: q @ k.mT @ (v - q),
    "torch.Tensor.__getitem__, behind a product of spikes of": lambda q, k, v, _: (q @ k.mT)[..., :4] + v,
    "a product with 1 · s + 0.5 of module 'q_lif', expected spikes of 0 and 1, or 1 less them": lambda q, k, v, m: (
        (q + m.numbers[0]) * (k + m.numbers[0]) * (v + m.numbers[0])
    ),
    "attention in which the channels of module 'k_lif' are in another order, expected": lambda q, k, v, _: (
        q @ k[..., ::2, :].mT @ v[..., ::2, :]
    ),
    "module 'v_lif', attention of different samples or steps": lambda q, k, v, _: q.flip(0) @ k.mT @ v,
    "a product of different samples or steps": lambda q, k, v, _: q.flip(0) * k,
    "a sum of different neurons or steps": lambda q, k, v, _: q.flip(0) + k,
    "attention of unlike heads, expected q, k and v of one": lambda q, k, v, _: tokens_first(q, k.flip(2), v, _),
}


class Attending(nn.Module):
    """Attention as the authors of Spikformer write it: tokens (T, B, N, C), linear layers, heads that are permuted."""

    def __init__(self, order: Callable[[Tensor, Tensor, Tensor, Any], Tensor], channels: int = 16) -> None:
        super().__init__()
        self.order, self.conv, self.lif = order, nn.Conv2d(2, channels, 3, padding=1), lif()
        for name in ("q", "k", "v", "proj"):
            self.add_module(f"{name}_linear", nn.Linear(channels, channels))
            self.add_module(f"{name}_bn", nn.BatchNorm1d(channels))
            self.add_module(f"{name}_lif", lif())
        self.attn_lif, self.head, self.norm = lif(0.5), nn.Linear(channels, 5), nn.LayerNorm(4)
        self.register_buffer("position", torch.rand(24, 24))
        self.register_buffer("numbers", torch.full((24, 4), 0.5))

    def of_tokens(self, name: str, x: Tensor) -> Tensor:
        linear, norm, neurons = (self.get_submodule(f"{name}_{part}") for part in ("linear", "bn", "lif"))
        made: Tensor = neurons(norm(linear(x.flatten(0, 1)).mT).mT.reshape(x.shape))
        return made

    def forward(self, x: Tensor) -> Any:
        x = self.lif(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])).flatten(3).mT
        heads = [self.of_tokens(name, x).unflatten(3, (4, -1)).transpose(2, 3) for name in "qkv"]
        attended = self.attn_lif(self.order(*heads, self).transpose(2, 3).flatten(3))
        return self.head((x + self.of_tokens("proj", attended)).mean(2).mean(0))


def attending(order: Callable[[Tensor, Tensor, Tensor, Any], Tensor]) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    example = 3 * torch.rand(5, 2, 2, 4, 6)
    return calibrated(Attending(order), example), example


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_attention_in_any_order(order: Callable[[Tensor, Tensor, Tensor, Any], Tensor]) -> None:
    network = imported(*attending(order))
    (given,) = network.layers[[layer.name for layer in network.layers].index("attn_lif")].inputs
    assert [source.layer for source in given.sources] == ["q_lif", "k_lif", "v_lif"]
    assert (given.heads, network.shapes[network.place("attn_lif")]) == (4, (16, 4, 6))


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_linear_in_spikes(message: str) -> None:
    with pytest.raises(NetworkError) as refused:
        spikesam.from_torch(*attending(REFUSED[message]))
    assert str(refused.value).startswith("from_torch: module 'attn_lif' (LIFNode): its input comes from ")
    assert message in str(refused.value)


def test_sums_of_unlike_counts_are_refused() -> None:
    named = "sums of 1 and 1 and 2 layers, which are module 'q_lif' and module 'k_lif' and module 'v_lif' and"
    with pytest.raises(NetworkError, match=named):
        spikesam.from_torch(*attending(lambda q, k, v, _: q @ k.mT @ (v + q)))


def test_an_answer_of_too_many_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesam.pipeline.imports.road.answer.MOST_WEIGHTS", 95 * 144)
    model = Written(
        lambda m, x: m.last(m.lif(m.conv(x.flatten(0, 1)))),
        conv=nn.Conv2d(2, 4, 1),
        lif=lif(0.1),
        last=nn.Conv2d(4, 4, 1),
    )
    with pytest.raises(
        NetworkError, match="'last' .Conv2d.: is 144 numbers of 144 neurons, .* such as the mean of each"
    ):
        spikesam.from_torch(loud(model), spikes(4, 3, 2, 6, 6, density=0.5))


def test_upsampling_repeats_spikes() -> None:
    torch.manual_seed(0)
    node = Jelly("neuron").LIFNode
    first = nn.Conv2d(1, 4, 3, stride=2, padding=1), node(step_mode="s", v_threshold=0.1)
    last = nn.Conv2d(4, 2, 3, padding=1), node(step_mode="s", v_threshold=0.1), nn.Flatten()
    model = nn.Sequential(*first, nn.Upsample(scale_factor=(2, 4)), *last)
    network = imported(loud(model), 9 * torch.rand(5, 2, 1, 6, 6))
    assert network.layers[1].inputs[0].spread == (1, 2, 4)
    smooth = nn.Sequential(*model[:2], nn.Upsample(scale_factor=2, mode="bilinear"), *model[3:]).eval()
    with pytest.raises(NetworkError, match="makes .* with mode='bilinear', expected rows and columns that are rep"):
        spikesam.from_torch(smooth, 9 * torch.rand(5, 2, 1, 6, 6))


def counting(m: Any, x: Tensor) -> Tensor:
    """Neurons that fire up to three spikes a step, and the sum of two layers of them."""
    x = m.n1(3 * m.a(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
    y = m.n2(3 * m.b(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
    return m.last(2 * m.c((x + y).flatten(2)))


def test_integer_spikes_are_planes_of_bits() -> None:
    torch.manual_seed(3)
    count = Jelly("surrogate").MultiLevelSpikeCount(3)
    synapses = {"a": nn.Conv2d(2, 4, 3, padding=1), "b": nn.Conv2d(4, 4, 3, padding=1), "c": nn.Linear(144, 5)}
    fire = {name: Jelly("neuron").ILIFNode(step_mode="m", surrogate_function=count) for name in ("n1", "n2")}
    network = imported(Written(counting, **synapses, **fire, last=lif()).eval(), spikes(8, 3, 2, 6, 6, density=0.5))
    assert [layer.name for layer in network.layers] == ["n1_1", "n1_2", "n1_3", "n2_1", "n2_2", "n2_3", "last"]
    assert [layer.neuron.threshold for layer in network.layers[:3]] == [0.5, 1.5, 2.5]
    assert [layer.neuron.fires_at_threshold for layer in network.layers[:3]] == [False, True, False]  # half to even
