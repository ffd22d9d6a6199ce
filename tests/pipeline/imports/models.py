"""Small networks as the users of each library write them, and spikes on which every layer fires."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from spikesam.backends.network import Network

Made = tuple[nn.Module, Tensor]


def spikes(*shape: int, density: float = 0.3) -> Tensor:
    return (torch.rand(shape) < density).float()


class Written(nn.Module):
    """Modules by name, and a forward of a test's own, which is given this module and the input."""

    def __init__(self, forward: Callable[[Any, Any], Any], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, x: Any) -> Any:
        return self._forward(self, x)


def by_step(step: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """A forward of all steps, which stacks what one of them gives."""
    return lambda m, x: torch.stack([step(m, each) for each in x])


def fires(threshold: float = 0.3, beta: Any = 0.8, **options: Any) -> nn.Module:
    """Leaky neurons of snnTorch that keep their membranes."""
    made: nn.Module = pytest.importorskip("snntorch").Leaky(
        beta, threshold=threshold, init_hidden=True, **options
    )
    return made


def imported(model: nn.Module, example: Tensor, **about: Any) -> Network:
    """The network of a model, proved on import, and once more on two backends."""
    network: Network = spikesam.from_torch(model, example, **about)
    assert_same_bits(model, network, example)
    return network


def assert_same_bits(
    model: nn.Module, network: Any, example: Tensor, *more: str, **options: Any
) -> Any:
    """On event, torch and more backends float32 fires the model's bits and answers, and integers
    the same ones.
    """
    compared = spikesam.compare(
        model, network, example, backends=("event", "torch", *more), **options
    )
    own = compared.runs["precision"] == "float32"
    assert (compared.runs["differ"][own] == 0).all() and own.sum() == 2 + len(more)
    assert compared.runs["digest"][~own].nunique() == 1
    whose = "rounded" if "rounded" in compared.answers else "model"
    assert (compared.answers["float32"] == compared.answers[whose]).all()
    return compared


def loud(model: nn.Module, factor: float = 3.0) -> nn.Module:
    """With weights so large that untrained layers fire, and biases that matter."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(factor)
    return model.eval()


def normalised(model: nn.Module, least: float = -0.5) -> nn.Module:
    """With constants of normalisation that are not the initial ones; some gains are negative where
    `least` is.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.05, 0.5)
            if module.affine:
                module.weight.data.uniform_(least, 1.5)
            if module.bias is not None:
                module.bias.data.uniform_(-0.1, 0.3)
        if "TemporalEffective" in type(module).__name__:
            module.scale.data.uniform_(0.3, 1.5)
    return model.eval()


def snntorch_tutorial() -> Made:
    """Pooling of currents; hidden states."""
    snn = pytest.importorskip("snntorch")
    model = nn.Sequential(
        nn.Conv2d(1, 4, 5),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.9, init_hidden=True),
        nn.Conv2d(4, 6, 5),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.9, init_hidden=True),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 10),
        snn.Leaky(beta=0.9, init_hidden=True, output=True),
    )
    return loud(model), spikes(8, 3, 1, 28, 28)


def hand_written(steps: int | None = None) -> nn.Module:
    """The same network with a loop over steps, and states in variables."""
    snn = pytest.importorskip("snntorch")

    def forward(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2, mem3 = m.lif1.init_leaky(), m.lif2.init_leaky(), m.lif3.init_leaky()
        fired, membranes = [], []
        for step in range(steps or len(x)):
            spk1, mem1 = m.lif1(functional.max_pool2d(m.conv1(x if steps else x[step]), 2), mem1)
            spk2, mem2 = m.lif2(functional.max_pool2d(m.conv2(spk1), 2), mem2)
            spk3, mem3 = m.lif3(m.fc1(spk2.flatten(1)), mem3)
            fired.append(spk3)
            membranes.append(mem3)
        return torch.stack(fired, dim=0), torch.stack(membranes, dim=0)

    first = {"conv1": nn.Conv2d(1, 4, 5), "lif1": snn.Leaky(beta=0.9)}
    second = {
        "conv2": nn.Conv2d(4, 6, 5),
        "lif2": snn.Leaky(beta=torch.rand(6, 1, 1), threshold=0.8),
    }
    return loud(
        Written(forward, **first, **second, fc1=nn.Linear(6 * 4 * 4, 10), lif3=snn.Leaky(beta=0.5))
    )


def snntorch_synaptic() -> Made:
    """Synaptic currents, reset to zero, and a leaky integrator whose last membrane is the
    answer.
    """
    snn = pytest.importorskip("snntorch")

    def forward(m: Any, x: Tensor) -> Tensor:
        membrane = m.out.init_leaky()
        for step in x:
            _, membrane = m.out(m.fc3(m.lif2(m.fc2(m.syn1(m.fc1(step))))), membrane)
        return membrane

    model = Written(
        forward,
        fc1=nn.Linear(20, 30),
        syn1=snn.Synaptic(alpha=0.6, beta=0.8, init_hidden=True),
        fc2=nn.Linear(30, 25),
        lif2=snn.Leaky(beta=0.7, init_hidden=True, reset_mechanism="zero"),
        fc3=nn.Linear(25, 4),
        out=snn.Leaky(beta=0.95, reset_mechanism="none"),
    )
    return loud(model, 2), spikes(15, 3, 20)


class Jelly:
    """A module of SpikingJelly; a test is skipped where its release lacks something."""

    def __init__(self, module: str) -> None:
        self.module = pytest.importorskip(f"spikingjelly.activation_based.{module}")

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self.module, name):
            pytest.skip(f"this release of SpikingJelly has no {name}")
        return getattr(self.module, name)


def scaler(scale: float | list[float]) -> nn.Module:
    """What SpikingJelly's conversion of ANNs puts around neurons."""
    kind = "VoltageScaler" if isinstance(scale, float) else "ChannelVoltageScaler"
    made: nn.Module = getattr(Jelly("ann2snn.modules"), kind)(scale)
    return made


def residual() -> nn.Module:
    """An ANN with a shortcut, as SpikingJelly converts them."""

    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.stem(x)
        return m.fc(m.relu(m.conv(x) + x).mean((2, 3)))

    stem = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)
    )
    return Written(
        forward, stem=stem, conv=nn.Conv2d(6, 6, 3, padding=1), relu=nn.ReLU(), fc=nn.Linear(6, 4)
    )


def spikingjelly_converted(recipe: str, **options: Any) -> Made:
    """What SpikingJelly's conversion makes of an ANN."""
    converter, recipes, images = Jelly("ann2snn"), Jelly("ann2snn.recipes"), torch.rand(3, 2, 8, 8)
    made = getattr(recipes, recipe)([(images, 0)], **options)
    return converter.FXConverter(recipe=made).convert(normalised(residual().eval())).eval(), images


def spikingjelly(mode: str, v_reset: float | None, kind: str = "LIFNode") -> Made:
    """Batch normalisation, pooling of spikes, votes."""
    layer, neuron, functions = Jelly("layer"), Jelly("neuron"), Jelly("functional")
    node = getattr(neuron, kind)
    model = nn.Sequential(
        layer.Conv2d(2, 6, 3, padding=1, bias=False),
        layer.BatchNorm2d(6),
        node(v_threshold=0.5, v_reset=v_reset),
        layer.MaxPool2d(2, 2),
        layer.Conv2d(6, 6, 3, padding=1, bias=False),
        layer.BatchNorm2d(6),
        node(v_threshold=0.5, v_reset=v_reset),
        layer.MaxPool2d(2, 2),
        layer.Flatten(),
        layer.Dropout(0.5),
        layer.Linear(6 * 4 * 4, 20),
        node(v_threshold=0.2, v_reset=v_reset),
        layer.VotingLayer(5),
    )
    functions.set_step_mode(model, mode)
    return normalised(loud(model)), spikes(8, 3, 2, 16, 16)


def spikingjelly_on_an_image() -> Made:
    """A convolution outside of time, an image that is repeated, and a mean over steps."""
    layer, neuron = Jelly("layer"), Jelly("neuron")

    still = nn.Sequential(layer.Conv2d(1, 4, 3, padding=1), layer.BatchNorm2d(4))
    moving = nn.Sequential(
        neuron.IFNode(step_mode="m"),
        layer.AvgPool2d(2, step_mode="m"),
        layer.Flatten(step_mode="m"),
        layer.Linear(4 * 4 * 4, 5, step_mode="m"),
        neuron.ParametricLIFNode(v_threshold=0.3, step_mode="m"),
    )

    def forward(m: Any, x: Tensor) -> Tensor:
        return m.moving(m.still(x).unsqueeze(0).repeat(8, 1, 1, 1, 1)).mean(0)

    return normalised(loud(Written(forward, still=still, moving=moving))), torch.rand(3, 1, 8, 8)


def norse_cells() -> Made:
    """States that are handed on from step to step, and a leaky integrator."""
    norse = pytest.importorskip("norse.torch")
    box = norse.LIFBoxParameters(tau_mem_inv=torch.as_tensor(400.0), v_th=torch.as_tensor(0.2))
    model = norse.SequentialState(
        nn.Conv2d(1, 4, 3),
        norse.IAFCell(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3),
        norse.LIFBoxCell(box),
        nn.Flatten(),
        nn.Linear(5 * 4 * 4, 5),
        norse.LIBoxCell(),
    )
    return loud(model, 2), spikes(8, 3, 1, 14, 14)


def norse_sequences() -> Made:
    """All steps in one call; synaptic currents; reset by subtraction."""
    norse = pytest.importorskip("norse.torch")
    reset = pytest.importorskip("norse.torch.functional.reset").reset_subtract
    threshold = torch.as_tensor(0.2)
    box = norse.LIFBoxParameters(
        tau_mem_inv=torch.as_tensor(300.0), v_th=threshold, reset_method=reset
    )
    model = Written(
        lambda m, x: m.lif(m.fc(m.box(m.conv(x))[0].flatten(2))),
        conv=norse.Lift(nn.Conv2d(1, 4, 3)),
        box=norse.Lift(norse.LIFBoxCell(box)),
        fc=nn.Linear(4 * 6 * 6, 6),
        lif=norse.LIF(norse.LIFParameters(v_th=threshold)),
    )
    return loud(model), spikes(15, 3, 1, 8, 8)


def sinabs_squeezed(**squeezed: int) -> Made:
    """Sum pooling, batches beside steps on one axis, and membranes that are held, as by sinabs' own
    from_model.
    """
    layers, activation = (
        pytest.importorskip("sinabs.layers"),
        pytest.importorskip("sinabs.activation"),
    )

    def neurons() -> nn.Module:
        return layers.IAFSqueeze(**squeezed, spike_fn=activation.SingleSpike, min_v_mem=-1.0)

    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        neurons(),
        layers.SumPool2d(2),
        nn.Conv2d(4, 4, 3, bias=False),
        neurons(),
        layers.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 2 * 2, 5, bias=False),
        neurons(),
    )
    return loud(model), spikes(8, 3, 2, 14, 14)


def sinabs_leaky() -> Made:
    """Synaptic currents, normalised input, and a leaky integrator on (B, T, N)."""
    layers, activation = (
        pytest.importorskip("sinabs.layers"),
        pytest.importorskip("sinabs.activation"),
    )
    threshold = torch.tensor(0.1)
    model = nn.Sequential(
        nn.Linear(20, 30),
        layers.LIF(
            tau_mem=10.0, tau_syn=3.0, spike_threshold=threshold, spike_fn=activation.SingleSpike
        ),
        nn.Linear(30, 20),
        layers.LIF(
            tau_mem=5.0,
            norm_input=False,
            spike_fn=activation.MaxSpike(1),
            spike_threshold=threshold,
            reset_fn=activation.MembraneReset(),
        ),
        nn.Linear(20, 4),
        layers.ExpLeak(tau_mem=8.0),
    )
    return loud(model, 2), spikes(12, 3, 20)


def lava_dl(delay_shift: bool = True) -> Made:
    """Blocks that are delayed by a step, with weights that are rounded to 8 bits."""
    pytest.importorskip("lava.lib.dl.slayer")
    from lava.lib.dl.slayer.block import cuba

    neuron: dict[str, Any] = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.0}
    options: dict[str, Any] = {"delay_shift": delay_shift}
    model = nn.Sequential(
        cuba.Conv(neuron, 2, 6, 3, weight_scale=3, **options),
        cuba.Pool(neuron, 2, weight_scale=1, **options),
        cuba.Conv(neuron, 6, 6, 3, padding=1, weight_scale=4, **options),
        cuba.Flatten(),
        cuba.Dense(neuron, 6 * 6 * 6, 10, weight_scale=4, **options),
    )
    return model.eval(), spikes(10, 3, 2, 14, 14)


BY_CHANNEL = {"channel_wise": True, "half_threshold": True, "pre_spike_maxpool": True}


def braille(shared: Path, kind: str, reset: str) -> nn.Module:
    """The NIR paper's network for Braille letters, in snnTorch, (T, B, 12) -> (T, B, 7)."""
    snn = pytest.importorskip("snntorch")
    weights = torch.load(
        shared / "data/networks/braille" / f"model_noDelay_{kind}.pt", map_location="cpu"
    )

    def forward(m: Any, x: Tensor) -> Tensor:
        fired, *hidden = m.lif1.reset_mem()
        state, given = m.lif2.reset_mem(), []
        for step in x:
            fired, *hidden = m.lif1(m.fc1(step), fired, *hidden)
            answer, *state = m.lif2(m.fc2(fired), *state)
            given.append(answer)
        return torch.stack(given)

    hidden, bias = len(weights["lif1.recurrent.weight"]), "fc1.bias" in weights
    model = Written(
        forward,
        fc1=nn.Linear(12, hidden, bias),
        lif1=snn.RSynaptic(0.5, 0.5, linear_features=hidden, reset_mechanism=reset),
        fc2=nn.Linear(hidden, 7, bias),
        lif2=snn.Synaptic(0.5, 0.5, reset_mechanism=reset),
    )
    model.lif1.recurrent = nn.Linear(hidden, hidden, bias)
    model.load_state_dict(weights)
    return model.eval()


MODELS: dict[str, Callable[[], Made]] = {
    "snntorch_tutorial": snntorch_tutorial,
    "snntorch_loop": lambda: (hand_written(), spikes(8, 3, 1, 28, 28)),
    "snntorch_loop_on_an_image": lambda: (
        hand_written(steps=8),
        torch.rand(3, 1, 28, 28) * 2 - 0.5,
    ),
    "snntorch_synaptic": snntorch_synaptic,
    "spikingjelly_steps_hard": lambda: spikingjelly("s", 0.0),
    "spikingjelly_sequence_hard": lambda: spikingjelly("m", 0.0),
    "spikingjelly_soft": lambda: spikingjelly("m", None),
    "spikingjelly_integrate_and_fire": lambda: spikingjelly("s", -0.25, "IFNode"),
    "spikingjelly_current_based": lambda: spikingjelly("s", 0.0, "CUBALIFNode"),
    "spikingjelly_on_an_image": spikingjelly_on_an_image,
    "spikingjelly_converted": lambda: spikingjelly_converted("RateCodingRecipe", mode="99.9%"),
    "spikingjelly_converted_by_channel": lambda: spikingjelly_converted(
        "RateCodingRecipe", **BY_CHANNEL
    ),
    "spikingjelly_converted_balanced": lambda: spikingjelly_converted(
        "LocalThresholdBalancingRecipe"
    ),
    "norse_cells": norse_cells,
    "norse_sequences": norse_sequences,
    "sinabs_squeezed": lambda: sinabs_squeezed(batch_size=3),
    "sinabs_squeezed_by_steps": lambda: sinabs_squeezed(num_timesteps=8),
    "sinabs_leaky": sinabs_leaky,
    "lava_dl": lava_dl,
    "lava_dl_without_delay": lambda: lava_dl(delay_shift=False),
}


def make(name: str) -> Made:
    torch.manual_seed(0)
    return MODELS[name]()
