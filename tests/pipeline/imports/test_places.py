"""Places that are moved, repeated or lost between neurons: by hand,
and as a law on fresh inputs.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import Network, NetworkError
from spikesam.pipeline.imports.torch.calling import follow_model, read_example
from spikesam.pipeline.imports.torch.imported import assemble
from spikesam.pipeline.imports.torch.modules import NeuronModules
from spikesam.pipeline.imports.torch.proof import prove
from tests.pipeline.imports.models import (
    Written,
    by_step,
    fires,
    loud,
    normalised,
    spikes,
)

pytest.importorskip("snntorch")
FEW = settings(max_examples=8, deadline=None)


def checked(model: nn.Module, *shape: int, seed: int = 0) -> Network:
    """The network of a model, which fires the same on a fresh dense, sparse and silent sample."""
    torch.manual_seed(seed)
    model = normalised(loud(model))
    network: Network = spikesam.from_torch(model, spikes(4, 2, *shape, density=0.5))
    fresh = torch.cat([spikes(4, 1, *shape, density=each) for each in (0.9, 0.1, 0.0)], 1)
    example, neurons = read_example(fresh, None, model), NeuronModules(None, None)
    imported = assemble(model, follow_model(model, example, neurons), example)
    assert imported.network.sha256 == network.sha256
    prove(imported, example)
    return network


def check_backends(network: Network) -> None:
    """In fixed point, on random spikes, all backends have one digest."""
    given = spikes(network.timesteps, 2, *network.input_shape, density=0.4)
    runs = [spikesam.simulate(network, given, backend=each) for each in ("event", "torch", "lava")]
    assert len({run.raster_digest for run in runs}) == 1


JOINED: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "sum": (lambda of_map, of_dense: of_map + of_dense, 18),
    "product": (lambda of_map, of_dense: of_map * of_dense, 18),
    "concatenation": (lambda of_map, of_dense: torch.cat([of_map, of_dense], 1), 36),
}


def joined(name: str, behind: str, pool: nn.Module | None = None) -> nn.Module:
    """Spikes of a map (2, 3, 3), flattened, and of 18 neurons without places."""
    join, count = JOINED[name]
    ends = {
        "a linear layer": nn.Sequential(nn.Linear(count, 5), fires()),
        "neurons": fires(0.7),
        "nothing": nn.Identity(),
    }

    def step(m: Any, x: Tensor) -> Tensor:
        of_map, of_dense = m.pool(m.lif1(m.conv(x))).flatten(1), m.lif2(m.fc(x.flatten(1)))
        out: Tensor = m.end(join(of_map, of_dense))
        return out

    modules = {"conv": nn.Conv2d(1, 2, 3), "lif1": fires(), "pool": pool or nn.Identity()}
    side = 5 if pool is None else 8
    dense = {"fc": nn.Linear(side * side, 18), "lif2": fires()}
    return Written(by_step(step), **modules, **dense, end=ends[behind])


@pytest.mark.parametrize("behind", ["a linear layer", "neurons", "nothing"])
@pytest.mark.parametrize("name", JOINED)
def test_flattened_spikes_meet_those_of_a_dense_layer(name: str, behind: str) -> None:
    checked(joined(name, behind), 1, 5, 5)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.MaxPool2d(2)])
@pytest.mark.parametrize("name", JOINED)
def test_flattened_pooled_spikes_meet_those_of_a_dense_layer(name: str, pool: nn.Module) -> None:
    if name == "product" and isinstance(pool, nn.AvgPool2d):
        found = "a product with a current of module 'pool' (AvgPool2d), expected spikes of 0 and 1"
        with pytest.raises(NetworkError, match=re.escape(found)):
            checked(joined(name, "a linear layer", pool), 1, 8, 8)
        return
    checked(joined(name, "a linear layer", pool), 1, 8, 8)


def test_flattened_spikes_and_those_of_a_dense_layer_by_hand() -> None:
    """Neuron n of the sum reads place n of the map, row by row, and neuron n of the dense layer."""

    def step(m: Any, x: Tensor) -> Tensor:
        out: Tensor = m.both(m.of_map(x).flatten(1) + m.of_dense(m.fc(x.flatten(1))))
        return out

    parts = {"of_map": fires(0.5), "fc": nn.Linear(4, 4, bias=False), "of_dense": fires(0.5)}
    model = Written(by_step(step), **parts, both=fires(1.5, beta=0.0)).eval()
    model.fc.weight.data = torch.eye(4).roll(1, 0)  # neuron n fires where place n - 1 did
    example = torch.tensor([1.0, 1, 0, 1]).view(1, 1, 1, 2, 2)
    network = spikesam.from_torch(model, example)
    given = torch.cat([example, torch.zeros(2, 1, 1, 2, 2)])
    raster = spikesam.simulate(network, given, backend="torch")
    assert network.shapes[-1] == (4, 1, 1)
    assert raster["both"][0][2].ravel().tolist() == [True, True, False, False]


FLAT: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "rows": lambda: (
        nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.Flatten(), nn.BatchNorm1d(18), fires()),
        (2, 6),
    ),
    "maps with a stride": lambda: (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, 2, 1, groups=2), nn.Flatten(), nn.BatchNorm1d(36), fires()
        ),
        (2, 5, 6),
    ),
    "spikes": lambda: (
        nn.Sequential(fires(0.5), nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 5), fires()),
        (1, 3, 4),
    ),
    "and a linear layer": lambda: (
        nn.Sequential(
            nn.Conv1d(2, 3, 3), nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 5), fires()
        ),
        (2, 6),
    ),
    "and a sum with a linear layer": lambda: (
        Written(
            by_step(lambda m, x: m.lif(m.norm(m.conv(x).flatten(1)) + m.fc(x.flatten(1)))),
            conv=nn.Conv1d(2, 3, 3),
            norm=nn.BatchNorm1d(12),
            fc=nn.Linear(12, 12),
            lif=fires(),
        ),
        (2, 6),
    ),
    "numbers of each neuron": lambda: (
        Written(
            by_step(lambda m, x: m.lif(m.conv(x).flatten(1) * m.fc.bias + m.fc.bias)),
            conv=nn.Conv1d(2, 3, 3),
            fc=nn.Linear(1, 12),
            lif=fires(),
        ),
        (2, 6),
    ),
}


@pytest.mark.parametrize("name", FLAT)
def test_numbers_of_each_neuron_behind_a_flattened_map(name: str) -> None:
    model, shape = FLAT[name]()
    checked(model, *shape)


@FEW
@given(
    st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.integers(4, 7), st.integers(4, 6)
)
def test_a_flattened_convolution_is_a_dense_layer(
    kernel: int, stride: int, padding: int, height: int, width: int
) -> None:
    conv = nn.Conv2d(2, 4, kernel, stride, padding, groups=2)
    count = conv(torch.zeros(1, 2, height, width)).numel()
    checked(nn.Sequential(conv, nn.Flatten(), nn.BatchNorm1d(count), fires()), 2, height, width)


@pytest.mark.long
def test_backends_agree_on_flattened_maps() -> None:
    check_backends(checked(joined("sum", "neurons"), 1, 5, 5))


def test_one_that_is_too_large_is_refused() -> None:
    norm = nn.BatchNorm1d(8 * 64 * 64)
    model = normalised(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), norm, fires()))
    message = (
        r"module '2' \(BatchNorm1d\): makes neurons without places of the map \(8, 64, 64\) of "
        r"module '0' \(Conv2d\), a dense layer of 32,768 × 12,288 = 402,653,184 weights, expected "
        "at most 268,435,456"
    )
    with pytest.raises(NetworkError, match=message):
        spikesam.from_torch(model, spikes(2, 1, 3, 64, 64))


PADDED: dict[str, Callable[[str], nn.Module]] = {
    "stride, groups, dilation": lambda mode: nn.Conv2d(
        2, 4, 3, 2, (2, 1), 2, groups=2, padding_mode=mode
    ),
    "behind pooling": lambda mode: nn.Sequential(
        nn.MaxPool2d((1, 2)), nn.Conv2d(2, 3, (2, 3), padding="same", padding_mode=mode)
    ),
    "behind another convolution": lambda mode: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1, padding_mode=mode)
    ),
    "in front of a border of zeros": lambda mode: nn.Sequential(
        nn.Conv2d(2, 3, 2, padding=1, padding_mode=mode, bias=False), nn.Conv2d(3, 3, 3, padding=1)
    ),
}


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("name", PADDED)
def test_borders_that_repeat_places(name: str, mode: str) -> None:
    network = checked(
        nn.Sequential(
            PADDED[name](mode), fires(), nn.Conv2d(4 if "stride" in name else 3, 2, 2), fires()
        ),
        2,
        6,
        6,
    )
    assert network.shapes[1][1] > 1  # the map stays one


@pytest.mark.parametrize("pad", [nn.ReflectionPad2d((2, 1, 0, 3)), nn.ReplicationPad2d(2)])
def test_borders_that_are_modules(pad: nn.Module) -> None:
    checked(nn.Sequential(pad, nn.AvgPool2d(2), nn.Conv2d(2, 3, 3), fires()), 2, 6, 6)
    checked(
        nn.Sequential(
            nn.Conv2d(2, 3, 3),
            pad,
            fires(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(3, 2, 2),
            fires(),
        ),
        2,
        6,
        7,
    )


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_borders_of_rows(mode: str) -> None:
    conv = nn.Conv1d(2, 3, 3, padding=2, padding_mode=mode)
    checked(nn.Sequential(conv, fires(), nn.Flatten(), nn.Linear(27, 4), fires()), 2, 7)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_border_that_repeats_places_by_hand(mode: str) -> None:
    """Spikes 1 1 0 and a kernel of three ones: 1 1 1 0 1 if reflected, 1 1 1 0 0, 0 1 1 0 1."""
    conv = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), padding_mode=mode, bias=False)
    conv.weight.data.fill_(1.0)
    found = []
    example = torch.tensor([1.0, 1, 0]).view(1, 1, 1, 1, 3)
    for threshold in (0.5, 1.5, 2.5):
        model = nn.Sequential(conv, fires(threshold, beta=0.0)).eval()
        if model(example[0]).any():
            network = spikesam.from_torch(model, example)
            raster = spikesam.simulate(network, example.numpy().repeat(2, 0), backend="torch")
            found.append(raster[network.names[1]][0][1].ravel().astype(int))
    sums = sum(found).tolist()
    windows = {
        "reflect": [1, 1, 1, 0, 1],
        "replicate": [1, 1, 1, 0, 0],
        "circular": [0, 1, 1, 0, 1],
    }[mode]
    assert sums == [sum(windows[at : at + 3]) for at in range(3)]


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2), nn.MaxPool2d((2, 3), (1, 2))]
)
def test_maxima_of_spikes_of_the_input(pool: nn.Module) -> None:
    network = checked(nn.Sequential(pool, nn.Conv2d(2, 3, 2, padding=1), fires()), 2, 7, 9)
    assert len(network.layers) == 1


BEHIND: dict[str, Callable[[], nn.Module]] = {
    "stride and bias": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(3, 4, 3, padding=1)
    ),
    "normalisation": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 2, bias=False), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, 2, 2, groups=1)
    ),
    "averages": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3, padding=1, groups=2)
    ),
    "three": lambda: nn.Sequential(
        nn.Conv2d(2, 2, 3, padding=1, bias=False),
        nn.Conv2d(2, 3, 2, padding=1, bias=False),
        nn.Conv2d(3, 4, 3, padding=1),
    ),
    "a border around currents": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ZeroPad2d((1, 0, 2, 1)), nn.AvgPool2d(2)
    ),
}


@pytest.mark.parametrize("name", BEHIND)
def test_a_convolution_that_pads_behind_another(name: str) -> None:
    checked(nn.Sequential(BEHIND[name](), fires(), nn.Conv2d(4, 2, 2), fires()), 2, 6, 6)


def test_borders_of_an_image() -> None:
    """Numbers that drive the first layer, and what the answer sums."""
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular")
    last = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), nn.Flatten())
    model = loud(nn.Sequential(conv, fires(), *last))
    images = torch.rand(2, 1, 5, 5)
    network = spikesam.from_torch(model, images, timesteps=4)
    assert network.shapes == ((1, 5, 5), (3, 5, 5))


@FEW
@given(st.data())
def test_borders_are_a_law(data: st.DataObject) -> None:
    mode = st.sampled_from(["zeros", "reflect", "replicate", "circular"])
    sizes = st.integers(1, 3)

    def conv(inputs: int, outputs: int) -> nn.Module:
        kernel, padding = (data.draw(sizes), data.draw(sizes)), data.draw(st.integers(0, 2))
        groups = data.draw(st.sampled_from([1, 2]))
        return nn.Conv2d(
            inputs,
            outputs,
            kernel,
            data.draw(st.integers(1, 2)),
            padding,
            groups=groups,
            padding_mode=data.draw(mode),
        )

    sides = data.draw(st.integers(5, 7)), data.draw(st.integers(5, 7))
    checked(nn.Sequential(conv(2, 4), conv(4, 2), fires(0.2, beta=0.9)), 2, *sides)


def test_windows_that_are_too_many_are_refused() -> None:
    large = nn.Sequential(nn.Conv2d(64, 1, 9, padding=4), nn.Conv2d(1, 2, 3, padding=1), fires())
    message = (
        r"module '1' \(Conv2d\): pads or moves the map \(1, 64, 64\) of module '0' \(Conv2d\), "
        "whose windows then are 22,581,504 copies of spikes, expected at most 16,777,216"
    )
    with pytest.raises(NetworkError, match=message):
        spikesam.from_torch(large.eval(), spikes(2, 1, 64, 64, 64))


@pytest.mark.long
def test_backends_agree_on_borders() -> None:
    first = PADDED["in front of a border of zeros"]("reflect")
    check_backends(checked(nn.Sequential(nn.MaxPool2d(3, 2, 1), first, fires()), 2, 7, 9))


JOINED_WITH_ITSELF: dict[str, Callable[[], tuple[Any, nn.Module, int, tuple[int, ...]]]] = {
    "rows of one channel": lambda: (nn.Conv1d(2, 1, 3), nn.Conv1d(2, 3, 3), 12, (2, 8)),
    "maps of one channel": lambda: (nn.Conv2d(2, 1, 3), nn.Conv2d(2, 3, 3), 12, (2, 6, 6)),
    "rows of one channel with a border": lambda: (
        nn.Conv1d(2, 1, 3),
        nn.Conv1d(2, 3, 2, padding=1, padding_mode="circular"),
        21,
        (2, 8),
    ),
    "rows with a border": lambda: (
        nn.Conv1d(2, 2, 3),
        nn.Conv1d(4, 3, 3, padding=1, padding_mode="replicate"),
        18,
        (2, 8),
    ),
}


@pytest.mark.parametrize("name", JOINED_WITH_ITSELF)
def test_a_layer_is_joined_with_itself(name: str) -> None:
    torch.manual_seed(2)
    first, second, neurons, shape = JOINED_WITH_ITSELF[name]()
    nn.init.uniform_(first.weight)

    def step(self: Any, x: Tensor) -> Any:
        fired = self.lif1(self.first(x))
        return self.lif3(
            self.linear(self.lif2(self.second(torch.cat([fired, fired], 1))).flatten(1))
        )

    modules = {f"lif{number}": fires(0.05) for number in (1, 2, 3)}
    linear = nn.Linear(neurons, 4)
    checked(Written(by_step(step), first=first, second=second, linear=linear, **modules), *shape)


def shuffled_tokens(m: Any, x: Tensor) -> Any:
    tokens = m.lif2(m.of_tokens(m.shuffle(m.lif1(m.conv(x))).flatten(2).mT))
    return m.lif3(m.linear(tokens.flatten(1)))


@pytest.mark.parametrize(
    "shuffle", [nn.ChannelShuffle(2), Written(lambda _, x: x[:, [3, 1, 0, 2]])]
)
def test_tokens_whose_channels_are_in_another_order(shuffle: nn.Module) -> None:
    layers = {"conv": nn.Conv2d(1, 4, 3), "of_tokens": nn.Linear(4, 5), "linear": nn.Linear(45, 4)}
    neurons = {f"lif{number}": fires(0.1) for number in (1, 2, 3)}
    checked(Written(by_step(shuffled_tokens), shuffle=shuffle, **layers, **neurons), 1, 5, 5)


def test_constants_of_channels_of_rows() -> None:
    torch.manual_seed(2)
    leaks, thresholds = torch.rand(3, 1), torch.rand(1, 3, 1) + 0.2
    lif: Any = fires(beta=leaks)
    lif.threshold = thresholds
    modules = nn.Conv1d(2, 3, 3), lif, nn.Flatten(), nn.Linear(18, 4), fires(0.05)
    network = checked(nn.Sequential(*modules), 2, 8)
    neuron: Any = network.layers[0].neuron
    assert np.allclose(neuron.leak, leaks.flatten())
    assert np.allclose(neuron.threshold, thresholds.flatten())
