"""Sums, concatenations and recurrence of a model become layers with several inputs, which fire its
bits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.backends.network import Network
from tests.pipeline.imports.models import (
    Jelly,
    Written,
    assert_same_bits,
    fires,
    lava_dl,
    loud,
    normalised,
    spikes,
)

snn = pytest.importorskip("snntorch")


def dense(forward: Callable[..., Any]) -> Callable[[], nn.Module]:
    """Three layers of ten neurons, weights for twenty inputs, and recurrent ones with a bias."""

    def build() -> nn.Module:
        linear = {name: nn.Linear(10, 10) for name in ("a", "b", "c", "back")}
        neurons = {name: fires() for name in ("lif1", "lif2", "lif3")}
        return Written(forward, **linear, **neurons, wide=nn.Linear(20, 10))

    return build


def each_step(step: Callable[..., tuple[Tensor, Tensor]], *shape: int) -> Callable[..., Tensor]:
    """A forward that hands numbers of a shape, (10,) if not given, on from step to step; zeros at
    first.
    """

    def forward(m: Any, x: Tensor) -> Tensor:
        handed, given = torch.zeros(x.shape[1], *(shape or (10,))), []
        for of_step in x:
            spikes_of_step, handed = step(m, of_step, handed)
            given.append(spikes_of_step.flatten(1))
        return torch.stack(given)

    return forward


def twice(value: Any) -> tuple[Any, Any]:
    return value, value


def maps(forward: Callable[..., Any]) -> Callable[[], nn.Module]:
    """Convolutions with batch normalisation: `a` of four channels, `b` that keep them, `c` of six
    at half the size.
    """
    return lambda: Written(
        forward,
        a=nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)),
        b=nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)),
        c=nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)),
        down=nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), nn.BatchNorm2d(6)),
        wide=nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1), nn.AvgPool2d(2)),
        **{name: fires() for name in ("lif1", "lif2", "lif3", "lif4")},
        head=nn.Linear(6 * 4 * 4, 3),
        wider=nn.Conv2d(4, 6, 3, padding=1),
    )


def spiking_resnet(m: Any, x: Tensor) -> Tensor:
    """A shortcut of spikes to membranes, as it is, then through a 1×1 convolution."""
    one = m.lif1(m.a(x))
    two = m.lif2(m.b(one) + one)
    return m.head(m.lif3(m.c(two) + m.down(two)).flatten(1))


def sew_resnet(m: Any, x: Tensor) -> Tensor:
    """Sums of spikes, and an answer that comes from one."""
    one = m.lif1(m.a(x))
    two = one + m.lif2(m.b(one))
    return m.head((m.lif3(m.c(two)) + m.lif4(m.down(two))).flatten(1))


def ms_resnet(m: Any, x: Tensor) -> Tensor:
    """A shortcut of membranes, through a 1×1 convolution: what flows there are currents of the
    input.
    """
    one = m.a(x)
    two = one + m.b(m.lif1(one))
    three = m.c(m.lif2(two)) + m.down(two)
    return m.head(m.lif3(three).flatten(1))


def densenet(m: Any, x: Tensor) -> Tensor:
    """A concatenation of spikes in front of a normalisation and a transition."""
    one = m.lif1(m.a(x))
    both = torch.cat([one, m.lif2(m.b(one))], dim=1)
    return m.lif3(m.wide(both)).flatten(1)


def shifted(m: Any, x: Tensor) -> Tensor:
    """Normalisations in front of convolutions that pad: beside a shortcut, and on maps of two
    sizes.
    """
    one, shift = m.lif1(m.a(x)), m.a[1]
    two = m.lif2(m.b(shift(one)) + one)
    return m.lif3(m.c(shift(two)) + m.wider(shift(nn.functional.avg_pool2d(one, 2)))).flatten(1)


def overlapping(m: Any, x: Tensor) -> Tensor:
    """Windows of a maximum pooling that overlap and reach over the border, in front of a block."""
    pooled = nn.functional.max_pool2d(m.lif1(m.a(x)), 3, 2, 1)
    return (pooled + m.lif2(m.b(pooled))).flatten(1)


def jelly_layers(*modules: nn.Module, mode: str) -> nn.Module:
    model = nn.Sequential(*modules)
    for module in model:
        module.step_mode = mode
    return model


def linear_container(mode: str) -> nn.Module:
    layer, neuron = Jelly("layer"), Jelly("neuron")
    inner = nn.Sequential(nn.Linear(10, 6), neuron.LIFNode(v_threshold=0.2, v_reset=None))
    recurrent = layer.LinearRecurrentContainer(inner, 10, 6)
    return jelly_layers(recurrent, layer.Linear(6, 4), neuron.LIFNode(v_threshold=0.1), mode=mode)


def elementwise_container(
    mode: str, function: Callable[..., Tensor] = lambda y, x: x - y
) -> nn.Module:
    layer, neuron = Jelly("layer"), Jelly("neuron")
    recurrent = layer.ElementWiseRecurrentContainer(neuron.IFNode(v_threshold=0.4), function)
    return jelly_layers(layer.Linear(10, 6), recurrent, mode=mode)


def delay(mode: str) -> nn.Module:
    layer, neuron = Jelly("layer"), Jelly("neuron")
    if mode == "m" and isinstance(Jelly("functional").delay, torch.jit.ScriptFunction):
        pytest.skip(
            "this SpikingJelly delays all steps in a scripted function, in which nothing can be "
            "followed"
        )
    first, last = (neuron.IFNode(v_threshold=0.3) for _ in range(2))
    return jelly_layers(
        layer.Linear(10, 6), first, layer.Delay(2), layer.Linear(6, 4), last, mode=mode
    )


def late_zeros(m: Any, x: Tensor) -> Tensor:
    """All steps, (B, T, N), of which the second neurons see the one before."""
    fired = m.first(m.a(x))
    return m.last(m.b(torch.cat([torch.zeros(len(x), 1, 10), fired[:, :-1]], dim=1)))


def sinabs_neurons(name: str = "IAF", *args: Any) -> nn.Module:
    layers, activation = (
        pytest.importorskip("sinabs.layers"),
        pytest.importorskip("sinabs.activation"),
    )
    return getattr(layers, name)(
        *args, spike_fn=activation.SingleSpike, spike_threshold=torch.tensor(0.5)
    )


def late_in_sinabs() -> nn.Module:
    linear = {"a": nn.Linear(10, 10), "b": nn.Linear(10, 10)}
    return Written(late_zeros, **linear, first=sinabs_neurons(), last=sinabs_neurons())


def residual_of_all_steps() -> nn.Module:
    residual = Written(
        lambda m, x: m.lif(x + m.fc(x)),
        fc=nn.Linear(10, 10),
        lif=Jelly("neuron").IFNode(step_mode="m"),
    )
    return nn.Sequential(nn.Linear(10, 10), Jelly("neuron").IFNode(step_mode="m"), residual)


def sinabs_recurrent(name: str, *args: Any) -> nn.Module:
    weights = nn.Sequential(nn.Flatten(), nn.Linear(6, 6, bias=False))
    return nn.Sequential(nn.Linear(10, 6), sinabs_neurons(name, *args, weights))


def sequences() -> nn.Module:
    layer, neuron = Jelly("layer"), Jelly("neuron")
    return nn.Sequential(
        layer.SeqToANNContainer(nn.Linear(10, 8), nn.BatchNorm1d(8)),
        layer.MultiStepContainer(neuron.LIFNode(v_threshold=0.2)),
        neuron.LIFNode(v_threshold=0.2, step_mode="m"),
    )


def rleaky(*args: Any, **options: Any) -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 10),
        snn.RLeaky(*args, init_hidden=True, **options),
        nn.Linear(10, 4),
        fires(0.1),
    )


def recurrent_maps() -> nn.Module:
    neurons = snn.RLeaky(0.8, conv2d_channels=3, kernel_size=3, threshold=0.4, init_hidden=True)
    return nn.Sequential(nn.Conv2d(2, 3, 3), neurons, nn.Flatten())


def handed_over() -> nn.Module:
    """snnTorch's recurrent neurons as its tutorials call them."""

    def forward(m: Any, x: Tensor) -> Tensor:
        (fired, current, membrane), given = m.lif1.reset_mem(), []
        for step in x:
            fired, current, membrane = m.lif1(m.a(step), fired, current, membrane)
            given.append(fired)
        return torch.stack(given)

    return Written(
        forward,
        a=nn.Linear(10, 10),
        lif1=snn.RSynaptic(0.7, 0.8, linear_features=10, threshold=0.3),
    )


def norse(name: str) -> nn.Module:
    library = pytest.importorskip("norse.torch")
    parameters = library.LIFParameters(v_th=torch.as_tensor(0.3))
    return library.SequentialState(getattr(library, name)(10, 10, p=parameters))


VECTORS, MAPS = (9, 3, 10), (6, 3, 2, 8, 8)
SHORTCUT, SELF = ["lif1 +1", "lif1 +1 as it is"], ["input +1", "lif1 +1"]


def itself(name: str, weights: str = "") -> dict[str, list[str]]:
    """What a layer reads that drives itself a step later."""
    return {name: ["input +1", f"{name} +1{weights}"]}


# A model, and what some layers read: the sources of each input, with their delays.
GRAPHS: dict[str, tuple[Callable[[], nn.Module], dict[str, list[str]]]] = {
    "a shortcut": (dense(lambda m, x: m.lif2(m.b(y := m.lif1(m.a(x))) + y)), {"lif2": SHORTCUT}),
    "a difference, of other steps": (
        dense(each_step(lambda m, x, y: (m.lif2(m.b(z := m.lif1(m.a(x))) - 2 * m.c(y)), z))),
        {"lif2": ["lif1 +1", "lif1 +2"]},
    ),
    "ternary spikes": (
        dense(lambda m, x: m.lif3(m.c(m.lif1(m.a(x)) - m.lif2(m.b(x))))),
        {"lif3": ["lif1 +1, -lif2 +1"]},
    ),
    "a sum of all steps in a call": (
        residual_of_all_steps,
        {"ifnode_2_lif": ["ifnode_1 +1", "ifnode_1 +1 as it is"]},
    ),
    "a concatenation": (
        dense(lambda m, x: m.lif2(m.wide(torch.cat([m.lif1(m.a(x)), x], dim=1)))),
        {"lif2": ["input +2", "lif1 +1"]},
    ),
    "an answer of several layers": (
        dense(lambda m, x: m.lif2(m.b(y := m.lif1(m.a(x)))) + 0.5 * y),
        {"answer": ["lif2 +1", "lif1 +2"]},
    ),
    "recurrence": (
        dense(each_step(lambda m, x, y: twice(m.lif1(m.a(x) + m.back(y))))),
        {"lif1": SELF},
    ),
    "recurrence through a concatenation": (
        dense(each_step(lambda m, x, y: twice(m.lif1(m.wide(torch.cat([y, x], dim=1)))))),
        {"lif1": SELF},
    ),
    "recurrence of one to one": (
        dense(each_step(lambda m, x, y: twice(m.lif1(m.a(x) + y)))),
        itself("lif1", " as it is"),
    ),
    "RLeaky": (lambda: rleaky(0.8, linear_features=10), {}),
    "RLeaky without a reset": (
        lambda: rleaky(0.5, V=torch.rand(10) - 0.5, all_to_all=False, reset_mechanism="none"),
        itself("rleaky_1", " as it is"),
    ),
    "RLeaky on maps": (recurrent_maps, itself("rleaky_1")),
    "RSynaptic": (handed_over, {"lif1": SELF}),
    "LIFRecurrentCell": (lambda: norse("LIFRecurrentCell"), itself("lifrecurrentcell_0")),
    "LIFRecurrent": (lambda: norse("LIFRecurrent"), {}),
    "LinearRecurrentContainer": (lambda: linear_container("s"), {}),
    "LinearRecurrentContainer of all steps": (lambda: linear_container("m"), {}),
    "ElementWiseRecurrentContainer": (lambda: elementwise_container("s"), {}),
    "ElementWiseRecurrentContainer of all steps": (lambda: elementwise_container("m"), {}),
    "ElementWiseRecurrentContainer that adds": (
        lambda: elementwise_container("m", lambda y, x: y + x),
        itself("ifnode_1_sub_module", " as it is"),
    ),
    "Delay": (lambda: delay("s"), {"ifnode_4": ["ifnode_1 +2"]}),
    "Delay of all steps": (lambda: delay("m"), {"ifnode_4": ["ifnode_1 +2"]}),
    "zeros in front of all steps": (late_in_sinabs, {"last": ["first +1"]}),
    "sinabs' LIFRecurrent": (
        lambda: sinabs_recurrent("LIFRecurrent", 10.0),
        itself("lifrecurrent_1"),
    ),
    "sinabs' IAFRecurrent": (lambda: sinabs_recurrent("IAFRecurrent"), {}),
    "SeqToANNContainer": (sequences, {"lifnode_2": ["lifnode_1_0 +1"]}),
    "Spiking-ResNet": (maps(spiking_resnet), {"lif2": SHORTCUT, "lif3": ["lif2 +1", "lif2 +1"]}),
    "SEW-ResNet": (
        maps(sew_resnet),
        {
            "lif3": ["lif1 +2, lif2 +1"],
            "lif4": ["lif1 +2, lif2 +1"],
            "answer": ["lif3 +1", "lif4 +1"],
        },
    ),
    "MS-ResNet": (
        maps(ms_resnet),
        {"lif2": ["input +2", "lif1 +1"], "lif3": ["input +3", "lif1 +2", "lif2 +1"]},
    ),
    "DenseNet": (maps(densenet), {"lif3": ["lif1 +2", "lif2 +1"]}),
    "biases in front of borders": (
        maps(shifted),
        {
            "lif2": ["lif1 +1", "lif2_bias +1", "lif1 +1 as it is"],
            "lif3": ["lif2 +1", "lif3_bias +1", "lif1 +2", "lif3_bias2 +2"],
        },
    ),
    "a bias in front of the border of what comes back": (
        maps(each_step(lambda m, x, y: twice(m.lif1(m.a(x) + m.b(m.a[1](y)))), 4, 8, 8)),
        {"lif1_bias": ["lif1 +1"], "lif1": ["input +2", "lif1 +1", "lif1_bias +1"]},
    ),
    "overlapping pooling": (
        maps(overlapping),
        {"lif2": ["lif1_max +1"], "answer": ["lif1_max +2", "lif2 +1"]},
    ),
}


def reads(network: Network) -> dict[str, list[str]]:
    """What each layer reads: for each input its sources, with their delays."""
    return {
        layer.name: [
            ", ".join(
                f"{'-' * (source.sign < 0)}{source.layer} +{source.delay}"
                for source in each.sources
            )
            + " as it is" * (each.synapse.kind == "identity")
            for each in layer.inputs
        ]
        for layer in network.layers
    }


@pytest.mark.parametrize("name", GRAPHS)
def test_every_bit_is_the_same(name: str) -> None:
    build, expected = GRAPHS[name]
    torch.manual_seed(0)
    model = normalised(loud(build(), 2))
    is_map = next(weight for weight in model.parameters() if weight.ndim > 1).ndim == 4
    example = spikes(*(MAPS if is_map else VECTORS), density=0.4)
    network = spikesam.from_torch(model, example)
    found = reads(network)
    assert {layer: found[layer] for layer in expected} == expected
    assert_same_bits(model, network, example)


def test_a_trace_by_hand() -> None:
    """v ← v/2 + 0.75 x - s′/2, fires above 0.5 and loses 0.5 at the next step; x is 1 at every
    step, s′ is s before.

    v = 0.75 (fires), 0.375 + 0.75 - 0.5 - 0.5 = 0.125, 0.0625 + 0.75 = 0.8125 (fires), 0.15625,
    0.828125 (fires).
    """
    neuron = snn.RLeaky(
        0.5, V=-0.5, all_to_all=False, threshold=0.5, init_hidden=True, learn_recurrent=False
    )
    model = nn.Sequential(nn.Linear(1, 1, bias=False), neuron).eval()
    model[0].weight.data.fill_(0.75)
    network = spikesam.from_torch(model, torch.ones(1, 1), timesteps=5)
    raster = spikesam.simulate(
        network, np.ones((6, 1, 1, 1, 1), np.bool_), backend="torch", precision="float32"
    )
    assert raster["rleaky_1"][:].ravel().tolist() == [False, True, False, True, False, True]


@pytest.mark.long
@pytest.mark.parametrize("changing", [False, True], ids=["an image", "numbers at every step"])
def test_numbers_flow_into_several_layers(changing: bool) -> None:
    """The shortcuts of an MS-ResNet carry the current of the input past the first layer, which is
    one step later there.

    Each layer hears of it when it hears of the spikes that the input caused, not before; so the
    bits are the model's.
    """
    torch.manual_seed(0)
    model = normalised(loud(maps(ms_resnet)(), 2))
    example = torch.randn(12, 2, 2, 8, 8) if changing else torch.randn(4, 2, 8, 8)
    network = spikesam.from_torch(model, example, timesteps=None if changing else 12)
    assert network.encoder == ("changing-current" if changing else "constant-current")
    assert reads(network) == {
        "lif1": ["input +1"],
        "lif2": ["input +2", "lif1 +1"],
        "lif3": ["input +3", "lif1 +2", "lif2 +1"],
    }
    assert_same_bits(model, network, example, "lava")
    assert spikesam.from_nir(spikesam.to_nir(network)).sha256 == network.sha256


def looped(m: Any, x: Tensor) -> Tensor:
    fired, given = torch.zeros(len(x), 10).to(x), []
    for _ in range(8):
        fired = m.lif1(m.back(fired) + m.a(x))
        given.append(fired)
    return torch.stack(given)


def test_an_image_drives_recurrent_layers() -> None:
    torch.manual_seed(0)
    model = loud(dense(looped)(), 2)
    network = spikesam.from_torch(model, torch.rand(3, 10), timesteps=8)
    assert network.encoder == "constant-current" and reads(network)["lif1"] == SELF


def test_sew_resnet_18() -> None:
    """Depth 18, the longest delay 5, and a layer that gathers the spikes of the answer."""
    builder, neuron = Jelly("model.sew_resnet"), Jelly("neuron")
    torch.manual_seed(0)
    model = builder.sew_resnet18(spiking_neuron=neuron.IFNode, num_classes=10, cnf="ADD")
    Jelly("functional").set_step_mode(model, "m")
    network = spikesam.from_torch(normalised(model), torch.rand(1, 3, 32, 32), timesteps=4)
    delays = [
        source.delay for layer in network.layers for each in layer.inputs for source in each.sources
    ]
    assert network.timesteps == 4 + 19 and max(delays) == 5 and len(network.layers) == 22
    assert reads(network)["layer2_0_sn1"] == ["sn1_max +5, layer1_0_sn2 +3, layer1_1_sn2 +1"]
    assert reads(network)["answer"] == [
        "layer4_0_downsample_sn +4",
        "layer4_0_sn2 +3",
        "layer4_1_sn2 +1",
    ]


def test_a_delay_of_the_library_is_the_step_that_a_layer_costs() -> None:
    """Of lava-dl's blocks one is delayed by itself; the others stand later by what is missing."""
    delayed, _ = lava_dl(delay_shift=True)
    prompt, example = lava_dl(delay_shift=False)
    network = spikesam.from_torch(nn.Sequential(delayed[0], *prompt[1:]), example)
    assert network.is_chain and network.timesteps == len(example) + 3 and len(network.layers) == 4
