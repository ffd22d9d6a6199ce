"""Torch models of ReLU neurons as networks: what each operation becomes, the proof, and what is
refused.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from spikesam import InputError, from_torch
from spikesam.backends.network import Network
from spikesam.backends.network.storage import read_network, write_network
from spikesam.pipeline.conversion import _read_ann as reader
from spikesam.pipeline.conversion._read_ann import read_ann
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.maps.methods.grad_cam import grad_cam
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork, to_torch
from tests.pipeline.imports.models import Written

Forward = Callable[[Any, Tensor], Tensor]


def written(forward: Forward) -> nn.Module:
    """Two convolutions, one ReLU and a dense layer, around which a test writes the rest."""
    torch.manual_seed(0)
    maps = {"a": nn.Conv2d(3, 4, 3, padding=1), "b": nn.Conv2d(4, 4, 3, padding=1)}
    return Written(forward, **maps, relu=nn.ReLU(inplace=True), fc=nn.Linear(4 * 8 * 8, 5)).eval()


class Block(nn.Module):
    """torchvision's BasicBlock, which uses one ReLU twice."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = (
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.conv2, self.bn2 = (
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.down(x)
        return self.relu(out)


def trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """With weights drawn anew, so that no earlier draw decides them, and with statistics and gains
    in batch normalisation as a training leaves them.
    """
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            module.reset_parameters()
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor, low in ((module.running_mean, -0.3), (module.running_var, 0.5)):
                assert tensor is not None
                tensor.uniform_(low, 0.6)
            nn.init.uniform_(module.weight, -1, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return model.eval()


def images(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 3, 8, 8)), generator=torch.Generator().manual_seed(1))


def assert_equal(network: Network, model: nn.Module, given: Tensor) -> None:
    """On images that the network was not read with."""
    with torch.no_grad():
        other = given.flip(0, -1) * 0.9
        expected = model(other)
        found = to_torch(network)(other.reshape(-1, *network.input_shape))
        torch.testing.assert_close(
            found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
        )


def test_a_residual_network_by_name(tmp_path) -> None:
    model = trained(
        nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            Block(4, 6, 2),
            nn.Flatten(),
            nn.Linear(24, 5),
        )
    )
    before, given = {name: each.clone() for name, each in model.state_dict().items()}, images()
    network, _ = read_ann(model, given)
    assert [layer.name for layer in network.layers] == ["relu_1", "relu_3_relu", "relu_3_relu_2"]
    assert network.input_range == pytest.approx(float(given.abs().max()))
    assert (network.kind, network.encoder, network.shapes[1:]) == (
        "ann",
        "image",
        ((4, 3, 3), (6, 2, 2), (6, 2, 2)),
    )
    (first,), _, (kernel, shortcut) = (layer.inputs for layer in network.layers)
    assert first.synapse.windows == ((3, 3), (2, 2), (1, 1))
    assert [each.sources[0].layer for each in (kernel, shortcut)] == ["relu_3_relu", "relu_1"]
    assert_equal(network, model, given)
    _, maps = grad_cam(
        DifferentiableNetwork(network),
        encode(network, given.numpy(), 0, range(4)),
        np.full(4, -1),
        [],
    )
    assert [found.shape for found in maps.values()] == [
        (1, 4, *shape[1:]) for shape in network.shapes[1:]
    ]
    write_network(network, tmp_path / "ann.safetensors")
    assert read_network(tmp_path / "ann.safetensors")[0].sha256 == network.sha256
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("forward", "names"),
    [
        (lambda m, x: functional.relu(m.a(x)), ["relu"]),
        (lambda m, x: torch.relu(m.b(m.a(x).relu_())), ["relu", "relu_2"]),
        (lambda m, x: m.a(x).clamp(min=0), ["clamp"]),
        (lambda m, x: functional.relu6(9 * m.a(x)), ["relu6"]),
        (lambda m, x: functional.hardtanh(m.a(x), 0, 0.5), ["hardtanh"]),
        (lambda m, x: torch.clamp_(m.a(x), 0, 0.25), ["clamp"]),
        (lambda m, x: m.relu(m.relu(m.a(x)) - m.b(m.relu(m.a(x)))), ["relu", "relu_2", "relu_3"]),
        (
            lambda m, x: m.relu(m.b(functional.max_pool2d(m.a(x).relu(), 3, 1, 1))),
            ["relu", "relu_2"],
        ),
        (
            lambda m, x: functional.max_pool2d(y := m.a(x).relu(), 3, 1, 1) + y,
            ["relu", "max_pool2d", "answer"],
        ),
        (lambda m, x: functional.avg_pool2d(m.a(x).relu(), 3, 1, 1), ["relu"]),
        (lambda m, x: m.relu(m.b(m.relu(m.a(x)))).mean((2, 3)).repeat(1, 64), ["relu", "relu_2"]),
        (lambda m, x: m.b(m.relu(m.a(x))), ["relu"]),
        (lambda m, x: torch.cat([y := m.a(x), -y], 1).relu()[:, 2:6], ["relu"]),
    ],
)
def test_functions_and_modules_that_are_called_again(forward: Forward, names: list[str]) -> None:
    model = written(lambda m, x: m.fc(forward(m, x).flatten(1)))
    network, _ = read_ann(model, images())
    assert [layer.name for layer in network.layers] == names
    assert_equal(network, model, images())


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(
            nn.Linear(6, 8),
            nn.BatchNorm1d(8),
            nn.ReLU6(),
            nn.Dropout(),
            nn.Linear(8, 4),
            nn.LogSoftmax(1),
        ),
        nn.Sequential(
            nn.Conv1d(3, 4, 3),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(4, 5, 2),
            nn.ReLU(),
            nn.Flatten(),
        ),
        nn.Sequential(
            nn.BatchNorm2d(2),
            nn.Conv2d(2, 4, 3, padding=2, dilation=2),
            nn.Hardtanh(0, 1),
            nn.Flatten(),
        ),
        nn.Sequential(
            nn.ConvTranspose2d(2, 4, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(36, 3),
        ),
    ],
    ids=["dense", "rows", "normalised input", "transposed"],
)
def test_models_of_other_shapes(model: nn.Module) -> None:
    shape = {nn.Linear: (6,), nn.Conv1d: (3, 9)}.get(type(model[0]), (2, 6, 7))  # type: ignore[index,call-overload]
    given = images(5, *shape)
    network, _ = read_ann(trained(model), given)
    if not isinstance(model[-1], nn.LogSoftmax):  # type: ignore[index]
        assert_equal(network, model, given)


def test_one_image_and_the_first_of_several_answers() -> None:
    model = written(
        lambda m, x: {"logits": m.fc((y := m.relu(m.a(x))).flatten(1)), "others": m.b(y)}
    )
    with pytest.warns(
        UserWarning,
        match=r"kept that of module 'fc' \(Linear\), dropped that of module 'b' \(Conv2d\)",
    ):
        network, _ = read_ann(model, images(1, 3, 8, 8))
    assert network.classes == 5


class Random(nn.Module):
    """Blocks that are drawn, on maps of 4 channels."""

    def __init__(self, kinds: list[str]) -> None:
        super().__init__()
        self.kinds = kinds
        self.parts = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Conv2d(4, 4, 3, padding=1, groups=groups),
                    nn.BatchNorm2d(4),
                    nn.Conv2d(8, 4, 1),
                ]
            )
            for groups in [(1, 2, 4)[number % 3] for number in range(len(kinds))]
        )
        self.stem, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        for kind, (conv, norm, joined) in zip(self.kinds, self.parts, strict=True):
            y = functional.relu6(norm(conv(x)))
            if kind == "residual":
                x = functional.relu(norm(conv(y)) + x)
            elif kind == "difference":
                x = functional.relu(x - conv(y))
            elif kind == "concatenation":
                x = functional.relu(joined(torch.cat([x, y], 1)))
            elif kind == "normalised":  # DenseNet's order
                x = functional.relu(norm(torch.cat([y[:, :2], conv(y)[:, 2:]], 1)))
            elif kind == "pooled concatenation":
                x = functional.relu(joined(functional.max_pool2d(torch.cat([x, y], 1), 3, 1, 1)))
            elif kind == "maximum":
                x = functional.max_pool2d(y, 3, 2, 1)
            elif kind == "ceiling":
                x = functional.max_pool2d(y, 3, 2, ceil_mode=True)
            elif kind == "average":
                x = functional.relu(conv(functional.avg_pool2d(y, 3, 1, 1)))
            else:
                x = functional.adaptive_avg_pool2d(y, 4 if min(y.shape[2:]) >= 4 else 1)
        return self.head(x.mean((2, 3)))


KINDS = (
    "residual",
    "difference",
    "concatenation",
    "normalised",
    "pooled concatenation",
    "maximum",
    "ceiling",
    "average",
)


def assert_equal_or_refused_in_one_line(model: nn.Module, seed: int, given: Tensor) -> None:
    refusal = ""
    try:
        network, _ = read_ann(trained(model, seed), given)
    except InputError as error:
        refusal = str(error)
    if not refusal:
        assert_equal(network, model, given)
        return
    assert "\n" not in refusal and "differs" not in refusal
    assert any(
        expected in refusal
        for expected in (
            "; expected ",
            ", expected ",
            "no image drives it",
            "Output size is too small",
        )
    )


@pytest.mark.long
@given(
    kinds=some.lists(some.sampled_from((*KINDS, "adaptive")), min_size=1, max_size=4),
    seed=some.integers(0, 1 << 20),
)
def test_random_models_are_read_or_refused_in_one_line(kinds: list[str], seed: int) -> None:
    assert_equal_or_refused_in_one_line(Random(kinds), seed, images())


# What may stand in front of a ReLU, on maps of some channels.
OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "convolution": lambda channels: nn.Conv2d(channels, 4, (2, 3), (1, 2), dilation=(2, 1)),
    "padded convolution": lambda channels: nn.Conv2d(channels, 4, (3, 2), (2, 1), (1, 0), groups=2),
    "normalisation": nn.BatchNorm2d,
    "average": lambda _: nn.AvgPool2d((2, 1)),
    "overlapping averages": lambda _: nn.AvgPool2d((2, 3), (1, 2)),
    "sum": lambda _: nn.LPPool2d(1, 2),
    "maximum": lambda _: nn.MaxPool2d((1, 2)),
    "overlapping maximum": lambda _: nn.MaxPool2d(2, 1, (1, 0)),
    "channels in another order": lambda _: nn.ChannelShuffle(2),
    "places in another order": lambda _: Written(lambda _, x: x.flip(3)),
    "zeros around": lambda _: nn.ZeroPad2d((0, 1, 1, 2)),
    "a layer of tokens": lambda channels: Written(
        lambda m, x: m.fc(x.flatten(2).mT).mT.reshape(-1, 6, *x.shape[2:]),
        fc=nn.Linear(channels, 6),
    ),
    "mean of the map": lambda _: Written(lambda _, x: x.mean((2, 3), keepdim=True)),
}


@given(
    kinds=some.lists(some.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=5),
    of_the_image=some.booleans(),
    dense=some.booleans(),
    seed=some.integers(0, 1 << 20),
)
def test_operations_are_folded_or_refused_in_one_line(
    kinds: list[str], of_the_image: bool, dense: bool, seed: int
) -> None:
    """What they are folded into does what they do one by one, in front of the first ReLU and of the
    second.
    """
    given = images(6, 4, 8, 8)
    model = nn.Sequential(*[] if of_the_image else [nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()])
    maps = given
    for kind in kinds:
        operation = OPERATIONS[kind](maps.shape[1])
        with suppress(RuntimeError):  # of a map that is too small
            maps = operation(maps)
            model.append(operation)
    model.extend([nn.Flatten(), nn.LazyLinear(5)] if dense else [])
    model.extend([nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)])
    model(given)
    assert_equal_or_refused_in_one_line(model, seed, given)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2"])
def test_torchvision(name: str) -> None:
    model = trained(getattr(torchvision.models, name)(weights=None, num_classes=10))
    network, _ = read_ann(model, DataLoader(images(3, 3, 32, 32), batch_size=2))  # type: ignore[arg-type]
    assert len(network.layers) == {"resnet18": 17, "squeezenet1_1": 28, "mobilenet_v2": 35}[name]


def behind(*modules: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), *modules, nn.Flatten(), nn.Linear(256, 5)
    ).eval()


LOST = "the model's output comes from module '1' ({}), behind module '0' (Conv2d)"
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    **{
        type(module).__name__: (
            lambda module=module: behind(module),
            LOST.format(type(module).__name__),
        )  # type: ignore[misc]
        for module in (
            *(
                nn.LeakyReLU(),
                nn.PReLU(),
                nn.GELU(),
                nn.SiLU(),
                nn.Sigmoid(),
                nn.Tanh(),
                nn.Hardswish(),
                nn.Hardtanh(),
            ),
            *(nn.LayerNorm([4, 8, 8]), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)),
        )
    },
    "what is possible": (
        lambda: behind(nn.GELU()),
        "and ReLU, ReLU6 or clamp(min=0), with which the model can be trained",
    ),
    "a softmax in between": (
        lambda: behind(nn.ReLU(), nn.Softmax(1), nn.Conv2d(4, 4, 1), nn.ReLU()),
        "module '2' (Softmax): stands between neurons, expected at the end",
    ),
    "squeeze and excitation": (
        lambda: written(
            lambda m, x: m.fc(((y := m.relu(m.a(x))) * torch.sigmoid(m.b(y))).flatten(1))
        ),
        "the model's output comes from torch.Tensor.mul, behind module 'relu' and torch.sigmoid, "
        "behind module 'b'",
    ),
    "no ReLU": (
        lambda: behind(),
        "the model's output comes from module '2' (Linear), with nothing in between, expected ReLU",
    ),
    "a layer that nothing drives": (
        lambda: written(
            lambda m, x: m.fc((m.relu(m.a(x)) + m.relu(m.b(m.relu(m.a(x) - 99)) - 99)).flatten(1))
        ),
        "module 'relu' (ReLU), call 2: no image drives it: its activations are 0 on all 4; give "
        "others",
    ),
    "a model that is none": (
        lambda: len,
        "model: got builtin_function_or_method, expected a torch.nn.Module",
    ),
}


@pytest.mark.parametrize("model", REFUSED)
def test_models_that_are_refused(model: str) -> None:
    make, message = REFUSED[model]
    with pytest.raises(InputError) as caught:
        read_ann(make(), images())
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "images: got none"),
        (images() / 0, "images: hold NaN or infinite numbers"),
        (images() * 0, "images: are all 0, expected images as the model takes them"),
        (
            images(2, 3, 9, 9),
            r"images: of one batch of \(2, 3, 9, 9\), the model fails with RuntimeError: mat1 and "
            r"mat2",
        ),
        (
            images(2, 1, 8, 8),
            r"images: of one batch of \(2, 1, 8, 8\), the model fails with RuntimeError: Given "
            r"groups=1",
        ),
    ],
)
def test_images_that_are_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_ann(behind(nn.ReLU()), given)


def test_spiking_models_and_anns_are_told_apart() -> None:
    import snntorch

    with pytest.raises(
        InputError,
        match=r"module '1' \(Leaky\) spikes, expected an ANN, .*import .*spikesam.from_torch",
    ):
        read_ann(behind(snntorch.Leaky(beta=0.9, init_hidden=True)), images())
    with pytest.raises(
        InputError,
        match=r"an ANN, whose neurons are ReLU, becomes .* spikesam.convert\(model, images\)",
    ):
        from_torch(behind(nn.ReLU()), images(), timesteps=4)


calls: list[int] = []
FOLLOWS: dict[str, Forward] = {
    "on a second input, which is made from the images: the model is another network": lambda m, x: (
        m.relu(m.a(x) * (calls.append(1) or len(calls)))
    ),  # type: ignore[func-returns-value]
    r"module 'relu' .*: differs from the network that was read by up to": lambda m, x: (
        m.relu(m.a(x) * (k := 1.0 if len(x) == 2 else 2.0)) / k  # the answer does not tell
    ),
    r"module 'relu' .*: is not called on all images": lambda m, x: (
        m.relu(m.a(x)) if len(x) == 2 else m.a(x).maximum(x.new_zeros(1))
    ),
    "the model's output: differs from the network that was read by up to .*, where": lambda m, x: (
        m.relu(m.a(x)) * (1.0 if len(x) == 2 else 2.0)
    ),
}


@pytest.mark.parametrize("message", FOLLOWS)
def test_what_follows_the_data_is_found_out(message: str) -> None:
    """On a second input, on images that were not followed, and where the network is another."""
    with pytest.raises(InputError, match=message):
        read_ann(written(lambda m, x: m.fc(FOLLOWS[message](m, x).flatten(1))), images())


def test_more_than_rounding_is_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "ROUNDING", 1e-9)
    with pytest.raises(
        InputError, match=r"module 'relu' \(ReLU\): differs .* expected at most 1e-09 of it"
    ):
        read_ann(written(lambda m, x: m.fc(m.relu(m.a(x * 0.1)).flatten(1))), np.float64(images()))
