"""What a layer becomes: by hand where its numbers are known, proven where they are drawn."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from spikesam.backends.network import LIF, Layer, Network, NetworkError, Sides
from spikesam.pipeline.imports.road._fold import fold
from spikesam.pipeline.imports.road.operations import (
    ByStep,
    Convolve,
    Junction,
    Linear,
    Operation,
    Path,
    Scale,
)
from tests.pipeline.imports.models import (
    Jelly,
    Written,
    assert_same_bits,
    by_step,
    fires,
    loud,
    normalised,
    scaler,
    spikes,
)

snn = pytest.importorskip("snntorch")


def imported(*modules: nn.Module, shape: tuple[int, ...] = (2, 8, 9)) -> Network:
    torch.manual_seed(0)
    model = normalised(loud(nn.Sequential(*modules)))
    return spikesam.from_torch(model, spikes(9, 3, *shape, density=0.4))


def check_that_backends_agree(network: Network) -> None:
    """In fixed point, on random spikes."""
    torch.manual_seed(0)
    given = spikes(network.timesteps, 2, *network.input_shape, density=0.4)
    digests = {
        spikesam.simulate(network, given, backend=each).raster_digest for each in ("event", "torch")
    }
    assert len(digests) == 1


def conv(*args: Any, **options: Any) -> nn.Module:
    torch.manual_seed(1)
    return nn.Conv2d(*args, **options)


BETWEEN: dict[str, Callable[[], list[nn.Module]]] = {
    "stride of rows": lambda: [conv(2, 4, 3, stride=(2, 1), padding=(1, 0)), nn.MaxPool2d((1, 2))],
    "groups and dilation": lambda: [conv(2, 4, (3, 2), groups=2, dilation=(1, 2))],
    "paddings that differ": lambda: [conv(2, 4, (3, 5), padding=(0, 2))],
    "same padding, uneven": lambda: [conv(2, 4, (2, 4), padding="same")],
    "valid padding": lambda: [conv(2, 4, 2, padding="valid", bias=False)],
    "batch normalisation": lambda: [
        conv(2, 4, 3),
        nn.Dropout2d(),
        nn.BatchNorm2d(4),
        nn.Identity(),
    ],
    "normalisation without a shift": lambda: [conv(2, 4, 3), *snn.BatchNormTT2d(4, 1)],
    "normalisation without constants": lambda: [conv(2, 4, 3), nn.BatchNorm2d(4, affine=False)],
    "maximum behind a negative gain": lambda: [conv(2, 6, 3), nn.BatchNorm2d(6), nn.MaxPool2d(2)],
    "maximum in front of a negative gain": lambda: [
        conv(2, 6, 3),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(6),
    ],
    "maximum that leaves a row over": lambda: [conv(2, 4, 2, stride=1), nn.MaxPool2d(3)],
    "maximum of maxima": lambda: [conv(2, 4, 1), nn.MaxPool2d(2), nn.MaxPool2d(2)],
    "maximum of overlapping maxima": lambda: [
        conv(2, 4, 1),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(2, 1),
    ],
    "the mean of a maximum": lambda: [
        conv(2, 4, 3),
        nn.MaxPool2d(2),
        written(lambda x: x.flatten(2).mean(-1) / 9),
    ],
    "overlapping maximum behind a negative gain": lambda: [
        conv(2, 6, 3),
        nn.BatchNorm2d(6),
        nn.MaxPool2d(3, 2, 1),
    ],
    "overlapping maximum before a negative gain": lambda: [
        conv(2, 6, 3),
        nn.MaxPool2d(3, 2, 1),
        nn.BatchNorm2d(6),
    ],
    "maximum with gaps": lambda: [conv(2, 4, 2), nn.MaxPool2d((1, 2), (2, 3))],
    "maximum of single currents": lambda: [conv(2, 4, 2), nn.MaxPool2d(1, 2)],
    "ceiling where nothing is left": lambda: [
        conv(2, 4, 2),
        nn.MaxPool2d((3, 2), 2, ceil_mode=True),
    ],
    "voltage scalers": lambda: [scaler(0.5), conv(2, 4, 3), scaler([1.0, 2.0, 0.5, 3.0])],
    "voltage scalers in front": lambda: [scaler([0.5, 2.0]), conv(2, 4, 3)],
    "pooling of single neurons": lambda: [
        nn.MaxPool2d((2, 3)),
        nn.AdaptiveAvgPool2d((4, 3)),
        nn.AvgPool2d(1),
        conv(2, 4, 2),
    ],
    "more zeros on one side": lambda: [
        nn.ConstantPad2d((1, 0, 2, 1), 0.0),
        conv(2, 4, 3, stride=2),
    ],
    "zeros in front of averages": lambda: [nn.ZeroPad2d(1), nn.AvgPool2d(2), conv(2, 4, 3)],
    "an adaptive maximum of currents": lambda: [
        conv(2, 4, 3, padding=1),
        nn.AdaptiveMaxPool2d((4, 3)),
    ],
    "a dilated maximum with a ceiling": lambda: [
        conv(2, 4, 3, padding=1),
        nn.MaxPool2d((2, 3), (3, 2), 1, (2, 1), ceil_mode=True),
    ],
    "an uneven adaptive maximum of currents": lambda: [
        conv(2, 4, 3, padding=1),
        nn.AdaptiveMaxPool2d((5, 4)),
    ],
    "even averages that overlap": lambda: [nn.AdaptiveAvgPool2d((7, 4)), conv(2, 4, 3)],
    "no weights": lambda: [nn.Identity()],
    "a transposed convolution": lambda: [nn.ConvTranspose2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)],
    "one in groups": lambda: [
        nn.ConvTranspose2d(2, 4, (3, 2), groups=2, dilation=(1, 3), output_padding=(0, 1))
    ],
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_stands_between_neurons(name: str) -> None:
    network = imported(
        conv(2, 2, 3, padding=1), fires(0.1), *BETWEEN[name](), fires(0.1), nn.Flatten()
    )
    assert len(network.layers) == 2
    check_that_backends_agree(network)


BORDERS: dict[str, Callable[[], list[nn.Module]]] = {
    "stride, groups and dilation": lambda: [
        nn.BatchNorm2d(2),
        conv(2, 4, 3, 2, 2, dilation=2, groups=2),
    ],
    "behind maximum pooling": lambda: [
        nn.MaxPool2d((2, 3)),
        nn.BatchNorm2d(2),
        conv(2, 4, (3, 2), padding="same"),
    ],
    "between averages": lambda: [
        nn.BatchNorm2d(2),
        nn.AvgPool2d((2, 1)),
        conv(2, 4, 3, padding=1),
        nn.AvgPool2d(2),
    ],
    "in front of zeros around": lambda: [
        nn.BatchNorm2d(2),
        nn.ZeroPad2d((0, 2, 1, 0)),
        conv(2, 4, 3),
    ],
    "behind repeated spikes": lambda: [
        nn.BatchNorm2d(2),
        nn.Upsample(scale_factor=2),
        conv(2, 4, 3, padding=1),
    ],
    "between convolutions": lambda: [
        conv(2, 5, 1),
        nn.BatchNorm2d(5),
        conv(5, 4, 3, padding=1),
        conv(4, 3, 2),
    ],
    "behind a linear layer": lambda: [
        nn.Flatten(),
        nn.Linear(2 * 8 * 9, 5),
        nn.Unflatten(1, (5, 1, 1)),
        conv(5, 4, 3, padding=1),
    ],
}


@pytest.mark.parametrize("name", BORDERS)
def test_a_bias_in_front_of_a_border_is_a_layer(name: str) -> None:
    network = imported(
        conv(2, 2, 3, padding=1), fires(0.1), *BORDERS[name](), fires(0.1), nn.Flatten()
    )
    first, bias, last = network.layers
    assert bias.name == f"{last.name}_bias" and network.timesteps == 9 + 2
    assert [source.layer for each in network.layers[2].inputs for source in each.sources] == [
        first.name,
        bias.name,
    ]
    fired = spikesam.simulate(network, spikes(11, 2, 2, 8, 9))[bias.name][:]
    assert fired[1:-1].all() and not fired[[0, -1]].any()
    check_that_backends_agree(network)


def test_a_bias_in_front_of_a_border_by_hand() -> None:
    """A shift of 0.5 and a kernel of 1×3 ones on a row of three zeros: 1, 1.5 and 1."""
    model = nn.Sequential(
        nn.BatchNorm2d(1, eps=0), nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False), fires(1.25)
    )
    model[0].bias.data.fill_(0.5)
    model[1].weight.data.fill_(1.0)
    network = spikesam.from_torch(
        model.eval(), torch.tensor([1.0, 0, 0]).view(1, 1, 1, 3), timesteps=1
    )
    assert network.shapes == ((1, 1, 3), (1, 1, 3), (1, 1, 3))
    raster = spikesam.simulate(
        network, np.zeros((3, 1, 1, 1, 3), np.bool_), backend="torch", precision="float32"
    )
    assert raster["leaky_2_bias"][0].reshape(3, 3).tolist() == [
        [False] * 3,
        [True] * 3,
        [False] * 3,
    ]
    assert raster["leaky_2"][0].reshape(3, 3).tolist() == [
        [False] * 3,
        [False] * 3,
        [False, True, False],
    ]


class Standardised(nn.Conv2d):
    """Weights of mean 0 and deviation 1 for each channel."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / weight.flatten(1).std(1).view(-1, 1, 1, 1)
        return nn.functional.conv2d(
            x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


def halved(module: nn.Module) -> nn.Module:
    class Half(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight / 2

    nn.utils.parametrize.register_parametrization(module, "weight", Half())
    return module


PARAMETRISED = nn.utils.parametrizations
COMPUTED: dict[str, Callable[[], nn.Module]] = {
    "weight_norm": lambda: PARAMETRISED.weight_norm(conv(2, 4, 3, padding=1)),
    "spectral_norm": lambda: PARAMETRISED.spectral_norm(conv(2, 4, 3, padding=1)),
    "a parametrisation": lambda: nn.Sequential(nn.Flatten(), halved(nn.Linear(2 * 8 * 9, 6))),
    "the older weight_norm": lambda: nn.utils.weight_norm(conv(2, 4, 3, padding=1)),
    "the older spectral_norm": lambda: nn.utils.spectral_norm(conv(2, 4, 3, padding=1)),
    "a standardisation": lambda: Standardised(2, 4, 3, padding=1, groups=2),
    "SpikingJelly's standardisation": lambda: Jelly("layer").WSConv2d(2, 4, 3, padding=1),
    "SpikingJelly's dense standardisation": lambda: nn.Sequential(
        nn.Flatten(), Jelly("layer").WSLinear(2 * 8 * 9, 6)
    ),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("name", COMPUTED)
def test_weights_are_those_at_inference(name: str) -> None:
    network = imported(
        conv(2, 2, 3, padding=1), fires(0.1), COMPUTED[name](), fires(0.1), nn.Flatten()
    )
    check_that_backends_agree(network)


ROWS: dict[str, Callable[[], list[nn.Module]]] = {
    "stride, padding, dilation": lambda: [nn.Conv1d(4, 5, 3, stride=2, padding=2, dilation=2)],
    "groups and same padding": lambda: [
        nn.Conv1d(4, 6, 4, padding="same", groups=2),
        nn.BatchNorm1d(6),
    ],
    "zeros around": lambda: [nn.ConstantPad1d((2, 1), 0.0), nn.Conv1d(4, 5, 3)],
    "zeros around zeros": lambda: [nn.ConstantPad1d(1, 0.0), nn.Conv1d(4, 5, 3, padding=2)],
    "maximum of currents": lambda: [nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5), nn.MaxPool1d(2)],
    "overlapping maximum of currents": lambda: [
        nn.Conv1d(4, 5, 3),
        nn.BatchNorm1d(5),
        nn.MaxPool1d(3, 2, 1),
    ],
    "maximum of spikes": lambda: [nn.MaxPool1d(2), nn.Conv1d(4, 5, 3, padding=1)],
    "averages": lambda: [nn.AvgPool1d(2), nn.Conv1d(4, 5, 3), nn.AvgPool1d(3, 1)],
    "adaptive averages": lambda: [
        nn.AdaptiveAvgPool1d(6),
        nn.Conv1d(4, 5, 3),
        nn.AdaptiveAvgPool1d(2),
    ],
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_maps_of_height_one(name: str) -> None:
    torch.manual_seed(1)
    conv1d = nn.Conv1d(2, 4, 3, padding=1)
    modules = conv1d, nn.BatchNorm1d(4), fires(0.1), *ROWS[name](), fires(0.1), nn.Flatten()
    network = imported(*modules, shape=(2, 24))
    assert [shape[1] for shape in network.shapes] == [1, 1, 1]
    assert network.layers[0].inputs[0].synapse.padding == (0, 1)


MAXIMA: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], list[str]]] = {
    "two of the same spikes": (
        lambda fired, _: torch.cat(
            [
                functional.max_pool2d(fired, 3, 2, 1).flatten(1),
                functional.max_pool2d(fired, 2, ceil_mode=True).flatten(1),
            ],
            1,
        ),
        ["lif_max", "lif_max2"],
    ),
    "with a border, a ceiling and dilation": (
        lambda fired, _: functional.max_pool2d(fired, 2, 3, 1, 2, ceil_mode=True),
        ["lif_max"],
    ),
    "of the input": (lambda _, given: functional.max_pool2d(given, 2, 1, 0, 2), []),
    "of the input with a ceiling": (
        lambda _, given: functional.max_pool2d(given, 2, ceil_mode=True),
        [],
    ),
    "of scaled channels that are joined": (
        lambda fired, given: functional.max_pool2d(torch.cat([0.5 * fired, given], 1), 3, 2, 1),
        [],
    ),
    "of joined channels with a ceiling": (
        lambda fired, given: functional.max_pool2d(torch.cat([fired, given], 1), 2, ceil_mode=True),
        [],
    ),
    "adaptive, uneven": (lambda fired, _: functional.adaptive_max_pool2d(fired, 5), []),
}


@pytest.mark.parametrize("name", MAXIMA)
def test_maxima_of_spikes_in_front_of_a_linear_layer(name: str) -> None:
    torch.manual_seed(0)
    pooled, relays = MAXIMA[name]

    def step(m: Any, x: Tensor) -> Tensor:
        fired: Tensor = m.out(m.fc(pooled(m.lif(m.conv(x)), x).flatten(1)))
        return fired

    inputs = pooled(torch.zeros(1, 4, 9, 9), torch.zeros(1, 2, 9, 9)).numel()
    layers = {"conv": conv(2, 4, 3, padding=1), "lif": fires(0.2), "fc": nn.Linear(inputs, 5)}
    model = loud(Written(by_step(step), **layers, out=fires(0.2)))
    given = spikes(6, 2, 2, 9, 9)
    network = spikesam.from_torch(model, given)
    assert_same_bits(model, network, given)
    assert [layer.name for layer in network.layers if "max" in layer.name] == relays


SPIKES: dict[str, tuple[list[nn.Module], tuple[Sides, str]]] = {
    "average": ([nn.AvgPool2d(2)], (2, "average")),
    "average of averages": ([nn.AvgPool2d(2), nn.AvgPool2d(2)], (4, "average")),
    "sum": ([nn.LPPool2d(1, 2)], (2, "average")),
    "maximum": ([nn.MaxPool2d(2)], (2, "max")),
    "maximum of maxima": ([nn.MaxPool2d(2), nn.Dropout(), nn.MaxPool2d(2)], (4, "max")),
    "adaptive maximum": ([nn.AdaptiveMaxPool2d((4, 2))], ((2, 4), "max")),
    "maximum of rows": ([nn.MaxPool2d((2, 1)), nn.MaxPool2d((1, 4))], ((2, 4), "max")),
    "average of columns": (
        [nn.AvgPool2d((1, 2)), nn.AdaptiveAvgPool2d((2, 1))],
        ((4, 8), "average"),
    ),
    "the whole map": ([nn.AdaptiveAvgPool2d(1)], (8, "average")),
}


@pytest.mark.parametrize("name", SPIKES)
def test_pooling_of_spikes(name: str) -> None:
    torch.manual_seed(0)
    pooling, expected = SPIKES[name]
    first = conv(2, 3, 3, padding=1), fires(0.1)
    model = loud(nn.Sequential(*first, *pooling, nn.Flatten(), nn.LazyLinear(6), fires(0.1)))
    given = spikes(9, 3, 2, 8, 8, density=0.4)
    with torch.no_grad():
        model(given[0])
    layer = spikesam.from_torch(loud(model), given).layers[1]
    assert (layer.inputs[0].synapse.pool, layer.inputs[0].synapse.pooling) == expected


@pytest.mark.parametrize(("pooling", "windows"), [((2,), (2, None, 0)), ((3, 2, 1), (3, 2, 1))])
def test_the_numbers_of_a_layer_by_hand(pooling: tuple[int, ...], windows: tuple[Any, ...]) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, eps=0), nn.MaxPool2d(*pooling), fires(2.0, 0.5)
    )
    model[0].weight.data = torch.tensor([1.0, -3.0]).view(2, 1, 1, 1)
    model[0].bias.data = torch.tensor([10.0, 20.0])
    model[1].running_var.data = torch.tensor([4.0, 0.25])
    model[1].running_mean.data = torch.tensor([1.0, 2.0])
    model[1].weight.data = torch.tensor([6.0, -1.0])
    model[1].bias.data = torch.tensor([-5.0, 40.0])
    (layer,) = spikesam.from_torch(model.eval(), torch.ones(1, 1, 4, 4), timesteps=3).layers
    # 6/√4 · (w + 10 - 1) - 5 = 3 w + 22; -1/√0.25 · (w + 20 - 2) + 40 = -2 w + 4, whose weight
    # changes its sign
    assert isinstance(layer.neuron, LIF)
    assert layer.inputs[0].weight.ravel().tolist() == [1, 3]
    assert layer.inputs[0].gain.tolist() == [[3, 2]]
    assert layer.neuron.bias.tolist() == [[22, 4]]
    assert (
        layer.inputs[0].synapse.current_pool,
        layer.inputs[0].synapse.current_stride,
        layer.inputs[0].synapse.current_padding,
    ) == windows
    assert (layer.neuron.leak, layer.neuron.threshold) == (0.5, 2)


@pytest.mark.parametrize("backend", ["event", "torch", "lava"])
@pytest.mark.parametrize("precision", ["fixed", "float32"])
def test_no_layer_fires_when_the_model_does_not(backend: str, precision: str) -> None:
    """Membranes, biases and a constant image would go on driving early layers while late ones still
    work.
    """
    torch.manual_seed(0)
    model = loud(
        nn.Sequential(
            nn.Flatten(), *(part for _ in range(3) for part in (nn.Linear(20, 20), fires()))
        )
    )
    for part in model[1::2]:
        part.bias.data.abs_().add_(0.5)
    images = torch.randint(128, (3, 20, 1, 1)) / 127
    network = spikesam.from_torch(model, images, timesteps=6)
    assert (network.window, network.timesteps, network.encoder) == (6, 9, "constant-current")
    raster = spikesam.simulate(network, images.numpy(), backend=backend, precision=precision)
    for depth, name in enumerate(raster, 1):
        fires_at = raster.counts(raster.layer(name)).any(axis=0)
        assert fires_at[depth : depth + 6].all()
        assert fires_at.sum() == 6


def test_an_image_is_a_constant_current_of_twice_the_weights_in_its_range() -> None:
    torch.manual_seed(0)
    model = loud(nn.Sequential(nn.Conv2d(1, 3, 3), fires()))
    for image, most in (
        (torch.rand(2, 1, 6, 6), 1),
        (2.64 * torch.rand(2, 1, 6, 6).round(), np.float32(2.64)),
    ):
        network = spikesam.from_torch(model, image, timesteps=5)
        assert (network.encoder, network.input_range) == ("constant-current", most)
        assert np.array_equal(
            network.layers[0].inputs[0].weight, 2 * model[0].weight.detach().numpy()
        )
    with pytest.raises(
        spikesam.NetworkError,
        match="example: holds 3, expected numbers in ±2.64, which the network",
    ):
        spikesam.compare(model, network, torch.full((2, 1, 6, 6), 3.0))


def test_numbers_that_change_at_every_step() -> None:
    torch.manual_seed(0)
    model = loud(nn.Sequential(nn.Linear(6, 20), fires(), nn.Linear(20, 4), fires()))
    given = torch.randn(9, 3, 6)
    network = spikesam.from_torch(model, given)
    assert (network.encoder, network.input_range) == ("changing-current", float(given.abs().max()))
    assert len(network.raster_names) == 2  # the input has no spikes
    assert 0 < assert_same_bits(model, network, given).layers["alone_fixed"].max() < 0.2
    with pytest.raises(spikesam.NetworkError, match="takes a constant current"):
        spikesam.compare(model, replace(network, encoder="constant-current"), given)


def behind_linear(module: nn.Module, size: int = 4) -> Layer:
    """The layer of a module behind a linear layer."""
    torch.manual_seed(0)
    model = loud(nn.Sequential(nn.Linear(10, size), module), 4)
    takes: Any = "B..."
    return spikesam.from_torch(model, spikes(6, 4, 10, density=0.5), takes=takes).layers[0]


def lif(module: nn.Module, size: int = 4) -> LIF:
    """The equation of a module behind a linear layer."""
    neuron = behind_linear(module, size).neuron
    assert isinstance(neuron, LIF)
    return neuron


def test_snntorchs_constants_may_differ_by_channel() -> None:
    beta, threshold = torch.tensor([0.5, 0.25, 1.5, -1.0]), torch.tensor([1.0, 2.0, 3.0, 1.0])
    neuron = lif(fires(threshold, beta))
    assert neuron.leak.tolist() == [0.5, 0.25, 1, 0]  # limited to 0 … 1
    assert neuron.threshold.tolist() == [1, 2, 3, 1]
    assert (neuron.reset, neuron.reset_by, neuron.fires_at_threshold) == ("subtract", None, False)


def test_snntorchs_resets() -> None:
    assert lif(fires(1.0, 0.5, reset_mechanism="zero")).reset == "zero"
    assert lif(fires(1.0, 0.5, reset_mechanism="none")).reset_by == 0


def test_snntorchs_reset_at_once_needs_2_thresholds_of_a_membrane_above_one() -> None:
    """w is 2.5, which fires and leaves 1.5; 1.5, which is no more than 2; 2.25, which fires;
    1.25.
    """
    lif = fires(1.0, 1.0, reset_delay=False)
    model = nn.Sequential(nn.Linear(2, 1, bias=False), lif).eval()
    model[0].weight.data = torch.tensor([[2.5, 0.75]])
    given = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])[:, None]
    network = spikesam.from_torch(model, given)
    assert network.names == ("input", "leaky_1_above", "leaky_1")
    raster = spikesam.simulate(network, given[..., None, None], precision="float32")
    assert raster["leaky_1"][0][1:, 0, 0, 0].tolist() == [True, False, True, False]
    assert raster["leaky_1_above"][0][1:, 0, 0, 0].tolist() == [True, True, True, True]


def test_spikingjellys_neurons_count_from_where_they_are_reset_to() -> None:
    neuron = Jelly("neuron")
    layer = behind_linear(neuron.LIFNode(tau=4.0, v_threshold=0.5, v_reset=-0.25))
    found: Any = layer.neuron
    assert layer.inputs[0].gain.tolist() == [[0.25] * 4]
    assert (found.leak, found.threshold, found.reset) == (0.75, 0.75, "zero")
    layer = behind_linear(neuron.LIFNode(tau=4.0, v_threshold=0.5, v_reset=None, decay_input=False))
    found = layer.neuron
    assert layer.inputs[0].gain.tolist() == [[1.0] * 4]
    assert (found.leak, found.reset_by, found.fires_at_threshold) == (0.75, 0.375, True)
    assert lif(neuron.ParametricLIFNode(init_tau=2.0)).leak == pytest.approx(0.5)


def written(function: Callable[[Tensor], Tensor]) -> nn.Module:
    return Written(lambda _, x: function(x))


# What stands behind six neurons, or maps of 2 × 2; and the weights of the answer, of those of its
# dense layer.
ANSWERS: dict[str, tuple[Callable[[], list[nn.Module]], Any]] = {
    "neurons": (list, np.eye(6)),
    "a dense layer": (lambda: [nn.Linear(6, 2)], lambda weight: weight),
    "votes": (
        lambda: [Jelly("layer").VotingLayer(3)],
        [[1 / 3] * 3 + [0] * 3, [0] * 3 + [1 / 3] * 3],
    ),
    "means of populations": (
        lambda: [written(lambda x: x.view(-1, 2, 3).mean(2))],
        [[1 / 3] * 3 + [0] * 3, [0] * 3 + [1 / 3] * 3],
    ),
    "sums of populations": (
        lambda: [written(lambda x: x.view(-1, 3, 2).sum(1))],
        [[1, 0] * 3, [0, 1] * 3],
    ),
    "averages of maps": (
        lambda: [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 3)],
        lambda weight: weight.repeat(4, axis=1) / 4,
    ),
    "averages of maps alone": (
        lambda: [nn.AvgPool2d(2), nn.Flatten()],
        np.eye(2).repeat(4, axis=1) / 4,
    ),
    "the mean of tokens": (
        lambda: [written(lambda x: x.flatten(2).transpose(1, 2).mean(1)), nn.Linear(2, 3)],
        lambda weight: weight.repeat(4, axis=1) / 4,
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_answers_behind_the_last_neurons(name: str) -> None:
    torch.manual_seed(0)
    behind, expected = ANSWERS[name]
    maps = name.endswith(("maps", "alone", "tokens"))
    model = loud(
        nn.Sequential(nn.Conv2d(1, 2, 1) if maps else nn.Linear(10, 6), fires(0.1), *behind())
    )
    network = spikesam.from_torch(model, spikes(6, 4, *((1, 2, 2) if maps else (10,)), density=0.5))
    last = model[-1]
    if isinstance(last, nn.Linear):
        expected = expected(last.weight.detach().numpy())
        assert network.readout.bias[0].tolist() == [0] * len(
            expected
        )  # nothing has arrived at the last neurons
        assert network.readout.bias[1:].tolist() == [last.bias.double().tolist()] * 6
    assert network.readout.weight == pytest.approx(np.array(expected))
    check_that_backends_agree(network)


@pytest.mark.parametrize("kind", ["maps", "rows", "overlapping"])
def test_a_maximum_in_front_of_the_answer_is_a_layer(kind: str) -> None:
    torch.manual_seed(0)
    pools = [nn.MaxPool1d(2)] if kind == "rows" else [nn.MaxPool2d(2)]
    pools = [nn.MaxPool2d(3, 2, 1), *pools] if kind == "overlapping" else pools
    synapses, sides = (nn.Conv1d(2, 3, 3), (8,)) if kind == "rows" else (nn.Conv2d(2, 3, 3), (8, 8))
    model, given = (
        nn.Sequential(synapses, fires(0.2), *pools, nn.Flatten(), nn.LazyLinear(5)),
        spikes(6, 4, 2, *sides),
    )
    model(given[0])
    network = spikesam.from_torch(loud(model), given)
    assert [layer.name for layer in network.layers] == [
        "leaky_1",
        "leaky_1_max",
        "leaky_1_max_max",
    ][: 1 + len(pools)]
    check_that_backends_agree(network)
    counted = spikesam.from_torch(model[:-1], given)
    assert np.array_equal(counted.readout.weight, np.eye(counted.classes))


def test_a_mean_of_one_token_is_the_token() -> None:
    torch.manual_seed(0)
    parts = (
        nn.Conv2d(1, 4, 3),
        fires(0.1),
        written(lambda x: x.flatten(2).mean(-1)),
        nn.Linear(4, 3),
        fires(0.1),
    )
    network = spikesam.from_torch(loud(nn.Sequential(*parts)), spikes(6, 4, 1, 3, 3, density=0.5))
    assert network.shapes == ((1, 3, 3), (4, 1, 1), (3, 1, 1))
    check_that_backends_agree(network)


def test_sums_of_populations_drive_neurons_each_perhaps_several_times() -> None:
    torch.manual_seed(0)
    summed = written(lambda x: x.view(-1, 4, 3).sum(2, keepdim=True).expand(-1, 4, 2).flatten(1))
    model = loud(nn.Sequential(nn.Linear(10, 12), fires(), summed, nn.Linear(8, 5), fires()))
    network = spikesam.from_torch(model, spikes(6, 4, 10))
    expected = model[3].weight.detach().view(5, 4, 2).sum(2).repeat_interleave(3, 1)
    assert network.layers[1].inputs[0].weight == pytest.approx(expected.numpy())
    check_that_backends_agree(network)


def test_a_leaky_integrator_is_a_leaky_readout() -> None:
    """Its membrane is the answer, the last one or that of every step."""
    networks = []
    membranes = by_step(lambda m, x: m.out(m.fc2(m.lif(m.fc1(x))))[1])
    for forward in (lambda m, x: membranes(m, x)[-1], membranes):
        torch.manual_seed(0)
        linear = {"fc1": nn.Linear(10, 6), "fc2": nn.Linear(6, 3)}
        out = fires(1.0, 0.9, reset_mechanism="none", output=True)
        networks.append(
            spikesam.from_torch(
                loud(Written(forward, **linear, lif=fires(), out=out)), spikes(6, 4, 10)
            )
        )
    assert networks[0].readout.leak == pytest.approx(0.9)
    assert networks[0].sha256 == networks[1].sha256


def test_a_kernel_of_every_channel_alone_is_one() -> None:
    weight = np.ones((2, 1, 2, 2), np.float32)
    path = Path("lif1", (Operation("the pool", Convolve(weight, groups=0)),))
    with pytest.raises(spikesam.NetworkError, match="the pool: has 2 kernels for every channel"):
        fold(path, {"lif1": (3, 4, 4)})


def test_an_error_has_the_place_of_its_operation_once() -> None:
    shapes = {"lif": (2, 1, 1), "other": (3, 1, 1)}
    fits, misfit = Operation("bn.0", Scale(np.ones(2))), Operation("bn.1", Scale(np.ones(3)))
    refusal = r"^bn\.1: scales 3 features, expected \(2, 1, 1\), the map before it$"
    in_time = Operation("bn.0", ByStep({0: (fits,), 1: (misfit,)}))
    branches = Path("lif", (misfit,)), Path("lif", (fits,))
    for path in (
        Path("lif", (fits, misfit)),
        Path("lif", (in_time,)),
        Path(Junction("add", "sum", branches), lag=None),
    ):
        with pytest.raises(NetworkError, match=refusal):
            fold(path, shapes)
    unequal = Junction("add", "sum", (Path("lif"), Path("other")))
    refusal = r"^add: adds maps \(C, H, W\) \(2, 1, 1\) of module 'lif' and \(3, 1, 1\) of module"
    with pytest.raises(NetworkError, match=refusal):
        fold(Path(unequal, lag=None), shapes)
    linear = Operation("fc", Linear(np.ones((1, 5), np.float32)))
    joined = Junction("join", "concatenation", (Path("lif"), Path("lif")))
    with pytest.raises(NetworkError, match=r"^fc: weight has shape \(1, 5\), expected 4 inputs"):
        fold(Path(joined, (linear,), None), shapes)
