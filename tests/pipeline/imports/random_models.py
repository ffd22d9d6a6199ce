"""Random small models of every library, with its odd options."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.pipeline.imports.models import Jelly, loud

STEPS, SAMPLES, INPUTS, HIDDEN, CLASSES = 10, 3, 8, 6, 4


def model_of(library: str, seed: int) -> tuple[nn.Module, Callable[[float, int], Tensor]]:
    """A model, and what makes its input of a density and a seed, (T, B, …)."""
    random = Random(seed)
    torch.manual_seed(seed)
    model, on_maps = LIBRARIES[library](random)
    shape = (2, 4, 4) if on_maps else (INPUTS,)
    bright = random.random() < 0.2 and library != "lava_dl"

    def given(density: float, seed: int) -> Tensor:
        torch.manual_seed(seed)
        spikes = (torch.rand(STEPS, SAMPLES, *shape) < density).float()
        if bright and density:
            spikes = spikes * torch.rand(spikes.shape)
            spikes[0, 0].view(-1)[0] = 1  # the range that the network takes
        return spikes

    return loud(model, random.choice([1.0, 2.0, 4.0])), given


def layered(
    random: Random, neurons: Callable[[int, bool], nn.Module], holder: Any = nn.Sequential
) -> tuple[nn.Module, bool]:
    """Two layers of neurons behind linear layers or a convolution, and whether that is so.

    `neurons` gets the number of channels, and whether they are those of a map.
    """
    on_maps = random.random() < 0.3
    first = (
        [nn.Conv2d(2, 3, 3), neurons(3, True), nn.Flatten()]
        if on_maps
        else [nn.Linear(INPUTS, HIDDEN), neurons(HIDDEN, False)]
    )
    behind = nn.Linear(12 if on_maps else HIDDEN, CLASSES)
    return holder(*first, behind, neurons(CLASSES, False)), on_maps


def snntorch(random: Random) -> tuple[nn.Module, bool]:
    snn = pytest.importorskip("snntorch")

    def constant(channels: int, on_map: bool, *numbers: float) -> Any:
        if random.random() < 0.7:
            return random.choice(numbers)
        shape = (channels, 1, 1) if on_map else (channels,)
        return torch.tensor(random.choices(numbers, k=channels)).view(shape)

    def neurons(channels: int, on_map: bool) -> nn.Module:
        options: dict[str, Any] = {
            "beta": constant(channels, on_map, 0.0, 0.5, 0.9, 1.0, 1.3),
            "threshold": constant(channels, on_map, 0.3, 1.0),
            "reset_mechanism": random.choice(["subtract", "subtract", "subtract", "zero", "none"]),
            "reset_delay": random.random() < 0.5,
            "init_hidden": True,
            "learn_beta": random.random() < 0.3,
            "learn_threshold": random.random() < 0.3,
        }
        kind = random.choice(["Leaky", "Leaky", "Leaky", "Synaptic", "RLeaky", "RSynaptic"])
        if kind == "Leaky":
            options["graded_spikes_factor"] = random.choice([1.0] * 7 + [0.5])
        if kind.endswith("Synaptic"):
            options["alpha"] = constant(channels, on_map, 0.0, 0.4, 1.0)
        if kind.startswith("R") and random.random() < 0.5 and not on_map:
            options["linear_features"] = channels
        elif kind.startswith("R"):
            options |= {"all_to_all": False, "V": random.choice([-0.5, 0.3])}
        return getattr(snn, kind)(**options)

    return layered(random, neurons)


def spikingjelly(random: Random) -> tuple[nn.Module, bool]:
    neuron = Jelly("neuron")

    def neurons(channels: int, on_map: bool) -> nn.Module:
        options: dict[str, Any] = {
            "v_threshold": random.choice([0.3, 1.0]),
            "v_reset": random.choice([None, 0.0, -0.25, 0.125]),
            "detach_reset": random.random() < 0.5,
        }
        kinds = ["IFNode", "LIFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode"]
        kind = random.choice([*kinds, "HalfThresholdIFNode", "QIFNode"])
        if kind in ("LIFNode", "ParametricLIFNode"):
            options["decay_input"] = random.random() < 0.5
            name = "tau" if kind == "LIFNode" else "init_tau"
            options[name] = random.choice([1.25, 2.0, 7.0])
        if kind == "CUBALIFNode":
            del options["detach_reset"]
            options |= {"c_decay": random.random(), "v_decay": random.random()}
        if kind == "HalfThresholdIFNode":
            del options["v_reset"]
        if kind == "QIFNode":
            options |= {"v_reset": -0.1, "v_rest": 0.0}
        return getattr(neuron, kind)(**options)

    return layered(random, neurons)


def norse(random: Random) -> tuple[nn.Module, bool]:
    library = pytest.importorskip("norse.torch")
    subtract = pytest.importorskip("norse.torch.functional.reset").reset_subtract

    def neurons(channels: int, on_map: bool) -> nn.Module:
        rest = random.choice([0.0, 0.0, 0.1])
        options: dict[str, Any] = {
            "v_th": torch.as_tensor(random.choice([0.2, 0.5])),
            "v_reset": torch.as_tensor(random.choice([rest, rest, 0.05])),
            "method": random.choice(["super", "heaviside", "tanh"]),
        }
        kinds = ["IAFCell", "LIFCell", "LIFBoxCell", "LIFRecurrentCell", "LIFRefracCell"]
        kind = random.choice(kinds[:3] if on_map else kinds)
        if kind == "IAFCell":
            return library.IAFCell(library.IAFParameters(**options))
        options["v_leak"] = torch.as_tensor(rest)
        options["tau_mem_inv"] = torch.as_tensor(random.choice([100.0, 400.0, 1000.0]))
        if kind == "LIFBoxCell":
            if random.random() < 0.4:
                options["reset_method"] = subtract
            return library.LIFBoxCell(library.LIFBoxParameters(**options))
        options["tau_syn_inv"] = torch.as_tensor(random.choice([200.0, 500.0, 1000.0]))
        parameters = library.LIFParameters(**options)
        if kind == "LIFRefracCell":
            return library.LIFRefracCell()
        if kind == "LIFRecurrentCell":
            return library.LIFRecurrentCell(channels, channels, parameters)
        return library.LIFCell(parameters)

    return layered(random, neurons, library.SequentialState)


def sinabs(random: Random) -> tuple[nn.Module, bool]:
    layers = pytest.importorskip("sinabs.layers")
    activation = pytest.importorskip("sinabs.activation")

    def neurons(channels: int, on_map: bool) -> nn.Module:
        spikes = [*[activation.SingleSpike] * 4, activation.MaxSpike(1)]
        options: dict[str, Any] = {
            "spike_fn": random.choice([*spikes, activation.MultiSpike]),
            "spike_threshold": torch.tensor(random.choice([0.3, 1.0])),
            "min_v_mem": random.choice([None, None, -0.5, -1.0, -2.0, -100.0]),
            "reset_fn": random.choice(
                [
                    activation.MembraneSubtract(),
                    activation.MembraneSubtract(0.5),
                    activation.MembraneReset(),
                    activation.MembraneReset(),
                    activation.MembraneReset(-0.1),
                ]
            ),
        }
        kind = random.choice(["IAFSqueeze", "LIFSqueeze"])
        if kind == "LIFSqueeze":
            options |= {
                "tau_mem": random.choice([2.0, 20.0]),
                "tau_syn": random.choice([None, 3.0]),
                "norm_input": random.random() < 0.5,
            }
        return getattr(layers, kind)(batch_size=SAMPLES, **options)

    return layered(random, neurons)


def lava_dl(random: Random) -> tuple[nn.Module, bool]:
    pytest.importorskip("lava.lib.dl.slayer")
    from lava.lib.dl.slayer.block import cuba

    def block(inputs: int, outputs: int) -> nn.Module:
        neuron = {
            "threshold": random.choice([0.5, 1.0]),
            "current_decay": random.choice([1.0] * 7 + [0.5]),
            "voltage_decay": random.choice([0.0, 0.0, 0.0, 1.0, 1.0, 0.25]),
        }
        shift = random.random() < 0.5
        return cuba.Dense(neuron, inputs, outputs, weight_scale=4, delay_shift=shift)

    return nn.Sequential(block(INPUTS, HIDDEN), block(HIDDEN, CLASSES)), False


LIBRARIES: dict[str, Callable[[Random], tuple[nn.Module, bool]]] = {
    "snntorch": snntorch,
    "spikingjelly": spikingjelly,
    "norse": norse,
    "sinabs": sinabs,
    "lava_dl": lava_dl,
}
