"""Gains and biases that differ from step to step, or from channel to channel: BNTT, TEBN,
schedules.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import spikesam
from tests.pipeline.imports.models import (
    Jelly,
    Written,
    assert_same_bits,
    fires,
    loud,
    normalised,
    spikes,
)

snn = pytest.importorskip("snntorch")
T = 7


class Stepwise(Written):
    """With numbers of steps, and a forward of a test's own of step t, or of all steps."""

    def __init__(
        self, forward: Callable[..., Any], step: bool = True, **modules: nn.Module
    ) -> None:
        super().__init__(forward, **modules)
        self.p = nn.Parameter(torch.rand(T) + 0.5)
        self.w, self.b = torch.rand(4, 1, 1) + 0.5, torch.rand(4, 1, 1) / 4
        self.each = torch.randn(T, 1, 4, 1, 1)
        self._step = step

    def forward(self, x: Tensor) -> Any:
        if not self._step:
            return super().forward(x)
        handed, found = torch.zeros(x.shape[1], 4, *x.shape[3:]), []
        for t, of_step in enumerate(x):
            fired = self._forward(self, of_step, t, handed)
            handed = fired if fired.shape == handed.shape else handed
            found.append(fired)
        return torch.stack(found)


def bntt(channels: int, kind: str = "2d") -> nn.Module:
    norms: nn.Module = getattr(snn, f"BatchNormTT{kind}")(channels, T)
    return norms


def stepwise(forward: Callable[..., Any], **modules: nn.Module) -> nn.Module:
    return Stepwise(
        forward,
        a=nn.Conv2d(2, 4, 3, padding=1, bias=False),
        c=nn.Conv2d(4, 4, 3, padding=1),
        lif1=fires(0.2),
        lif2=fires(0.2),
        lif3=fires(0.1),
        head=nn.Linear(4 * 4 * 4, 5),
        **modules,
    )


def at_once(forward: Callable[..., Any], **modules: nn.Module) -> nn.Module:
    layer, neuron = Jelly("layer"), Jelly("neuron")
    return Stepwise(
        forward,
        False,
        a=layer.SeqToANNContainer(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)),
        c=layer.SeqToANNContainer(nn.Conv2d(4, 4, 3, padding=1)),
        **{
            name: neuron.LIFNode(v_threshold=0.2, v_reset=None, step_mode="m")
            for name in ("lif1", "lif2")
        },
        **modules,
    )


def with_bntt(m: Any, x: Tensor, t: int, _: Tensor) -> Tensor:
    one = m.lif1(m.bn1[t](m.a(x)))
    pooled = nn.functional.max_pool2d(m.lif2(m.bn2[t](m.c(one))), 2)
    fired: Tensor = m.lif3(m.bn3[t](m.head(pooled.flatten(1))))
    return fired


def normalised_by_threshold() -> nn.Module:
    layer = Jelly("layer")
    layer.WSConv2d  # noqa: B018 - of release 2.0; in those before it, this normalisation fails
    norms = {
        "bn": layer.ThresholdDependentBatchNorm2d(1.0, 0.5, 4),
        "flat": layer.Flatten(step_mode="m"),
    }
    norms |= {
        "fc": layer.Linear(64, 8, step_mode="m"),
        "bn1": layer.ThresholdDependentBatchNorm1d(1.0, 0.5, 8),
    }
    return at_once(lambda m, x: m.lif2(m.bn1(m.fc(m.flat(m.lif1(m.bn(m.a(x))))))), **norms)


def schedule(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1, 1, 1)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "BNTT": lambda: stepwise(with_bntt, bn1=bntt(4), bn2=bntt(4), bn3=bntt(5, "1d")),
    "TEBN": lambda: stepwise(
        lambda m, x, t, _: m.lif1(m.p[t] * m.bn(m.a(x))), bn=nn.BatchNorm2d(4)
    ),
    "TEBN of all steps": lambda: at_once(
        lambda m, x: m.lif2(m.c(m.lif1(m.a(x) * schedule(m.p))) * schedule(m.p))
    ),
    "SpikingJelly's TEBN": lambda: at_once(
        lambda m, x: m.lif2(m.bn(m.c(m.lif1(m.a(x))))),
        bn=Jelly("layer").TemporalEffectiveBatchNorm2d(T, 4),
    ),
    "SpikingJelly's normalisations that depend on the threshold": normalised_by_threshold,
    "a stack of normalised steps": lambda: at_once(
        lambda m, x: m.lif1(
            torch.stack([norm(y) for norm, y in zip(m.norms, m.a(x), strict=True)])
        ),
        norms=nn.ModuleList(nn.BatchNorm2d(4) for _ in range(T)),
    ),
    "gains and biases of all steps": lambda: at_once(
        lambda m, x: m.lif2(m.c(m.lif1(m.a(x))) * m.each + m.each / 5)
    ),
    "a gain and a bias of each channel": lambda: stepwise(
        lambda m, x, t, _: m.lif1(m.b + m.w * m.a(x))
    ),
    "spikes with a gain of each channel": lambda: stepwise(
        lambda m, x, t, _: m.lif2(m.c(m.lif1(m.a(x)) * m.w))
    ),
    "spikes without weights": lambda: stepwise(
        lambda m, x, t, _: m.lif2(m.lif1(m.a(x)) * m.each[t] + m.b)
    ),
    "a residual sum": lambda: stepwise(
        lambda m, x, t, _: m.lif2(m.norms[t](m.c(y := m.lif1(m.a(x)))) * m.p[t] + y * m.p[-1 - t]),
        norms=nn.ModuleList(nn.BatchNorm2d(4) for _ in range(T)),
    ),
    "a concatenation": lambda: stepwise(
        lambda m, x, t, _: m.lif3(
            m.wide(torch.cat([y := m.lif1(m.a(x)) * m.p[t], m.lif2(m.c(y))], dim=1))
        ),
        wide=nn.Conv2d(8, 4, 1),
    ),
    "recurrence": lambda: stepwise(lambda m, x, t, y: m.lif1(m.a(x) + m.p[t] * m.c(y))),
    "an answer with a gain of each class": lambda: stepwise(
        lambda m, x, t, _: m.lif1(m.bn[t](m.a(x))).mean((2, 3)) * m.w.flatten(), bn=bntt(4)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_bit_is_the_same(name: str) -> None:
    torch.manual_seed(0)
    side = 8 if name == "BNTT" else 4
    model, example = (
        normalised(loud(MODELS[name](), 2), 0.3),
        spikes(T, 3, 2, side, side, density=0.4),
    )
    assert_same_bits(model, spikesam.from_torch(model, example), example)


IMAGES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "at once": lambda m, x: m.lif1(m.a(x.unsqueeze(0).repeat(T, 1, 1, 1, 1)) * schedule(m.p)),
    "step by step": lambda m, x: torch.stack([m.once(m.conv(x) * p + m.b) for p in m.p]),
}


@pytest.mark.parametrize("how", IMAGES)
def test_an_image_that_is_shown_at_every_step(how: str) -> None:
    torch.manual_seed(0)
    model = normalised(loud(at_once(IMAGES[how], once=fires(), conv=nn.Conv2d(2, 4, 3)), 2), 0.3)
    network = spikesam.from_torch(model, torch.rand(3, 2, 6, 6), timesteps=T)
    assert network.encoder == "constant-current"
    assert network.layers[0].inputs[0].gain.shape == (network.timesteps, 4)


def test_the_rows_of_a_network_by_hand() -> None:
    """A layer of depth D is driven at step t + D by row t + D - 1: no bias before, and silence
    behind.
    """

    def forward(m: Any, x: Tensor) -> Tensor:
        currents = (m.c(m.lif1(m.a(of_step))) for of_step in x)
        return torch.stack(
            [m.lif2(y * (t + 1) + torch.tensor([0.1, 0.2]) * t) for t, y in enumerate(currents)]
        )

    a, c = (nn.Linear(2, 2, bias=False) for _ in range(2))
    for linear in (a, c):
        linear.weight.data = torch.eye(2)
    model = Stepwise(forward, False, a=a, c=c, lif1=fires(), lif2=fires()).eval()
    layers = spikesam.from_torch(model, torch.ones(3, 1, 2)).layers
    first, second = (layer.spiking_neuron for layer in layers)
    assert [layer.inputs[0].gain.tolist() for layer in layers] == [
        [[1, 1]],
        [[1, 1], [1, 1], [2, 2], [3, 3], [3, 3]],
    ]
    assert first.bias.tolist() == [[0, 0]] * 3 + [[-(2**17) * first.threshold] * 2] + [[0, 0]]
    np.testing.assert_allclose(
        second.bias, [[0, 0], [0, 0], [0.1, 0.2], [0.2, 0.4], [0.2, 0.4]], rtol=1e-6
    )


BEHIND: dict[str, Callable[[int], nn.Module]] = {
    "norms": lambda channels: nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(9)),
    "norm": nn.BatchNorm2d,
    "scales": lambda channels: nn.ParameterList(list(torch.rand(9) + 0.5)),
    "scales of channels": lambda channels: nn.ParameterList(
        list(torch.rand(9, channels, 1, 1) + 0.5)
    ),
    "scale of channels": lambda channels: nn.ParameterList([torch.rand(channels, 1, 1) + 0.5] * 9),
    "shifts": lambda channels: nn.ParameterList(list(torch.rand(9, channels, 1, 1) - 0.5)),
    "maximum": lambda channels: nn.MaxPool2d(2),
    "identity": lambda channels: nn.Identity(),
}


orders = st.lists(st.sampled_from(sorted(BEHIND)), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(
    order=orders.filter(lambda names: names.count("maximum") < 2),
    timesteps=st.integers(1, 9),
    channels=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_numbers_in_any_order(order: list[str], timesteps: int, channels: int, seed: int) -> None:
    torch.manual_seed(seed)

    def forward(m: Any, x: Tensor) -> Tensor:
        fired = []
        for t, y in enumerate(x):
            y = m.c(m.lif1(m.a(y)))
            for name, module in zip(order, m.behind, strict=True):
                if isinstance(module, nn.ParameterList):
                    y = y + module[t] if name == "shifts" else y * module[t]
                else:
                    y = module[t](y) if name == "norms" else module(y)
            fired.append(m.lif2(y))
        return torch.stack(fired)

    behind = nn.ModuleList(BEHIND[name](channels) for name in order)
    convolutions = {"a": nn.Conv2d(2, 3, 1), "c": nn.Conv2d(3, channels, 3, padding=1)}
    model = loud(Stepwise(forward, False, lif1=fires(0.01), lif2=fires(0.01), **convolutions), 5)
    model.behind = behind
    try:  # which proves every bit
        network = spikesam.from_torch(
            normalised(model, 0.3), spikes(timesteps, 2, 2, 4, 4, density=0.7), rounding=True
        )
    except spikesam.NetworkError as error:
        assume("none of its neurons fires" not in str(error))
        raise
    assert network.timesteps == timesteps + 2


def unlike(*args: Any) -> nn.ModuleList:
    """Convolutions of all steps, each with weights of its own."""
    return nn.ModuleList(nn.Conv2d(2, 4, *args) for _ in range(T))


def each_its_own(m: Any, x: Tensor) -> Tensor:
    return m.lif1(torch.stack([conv(y) for conv, y in zip(m.convs, x, strict=True)]))


REFUSED: dict[str, Callable[[], nn.Module]] = {
    "'lif1' (Leaky): is driven through module 'convs.0' (Conv2d) at one step, and through module "
    "'convs.1'": lambda: stepwise(
        lambda m, x, t, _: m.lif1(m.bn[t](m.convs[t](x))), convs=unlike(3, 1, 1), bn=bntt(4)
    ),
    "and module 'convs.6' (Conv2d), whose weights differ from step to step; expected": lambda: (
        at_once(each_its_own, convs=unlike(1))
    ),
    "module 'c' (Conv2d): sees channels whose gains differ from step to step, each in its own way, "
    "expected": lambda: stepwise(lambda m, x, t, _: m.lif2(m.c(m.lif1(m.a(x)) * m.each[t]))),
    "max_pool2d: pools what is scaled by a negative number at some steps alone": lambda: stepwise(
        lambda m, x, t, _: m.lif1(nn.functional.max_pool2d(m.a(x) * (0.5 - t), 2))
    ),
    "Tensor.mul: has other numbers at every step in front of the answer, expected": lambda: (
        stepwise(lambda m, x, t, _: m.lif1(m.a(x)).mean((2, 3)) * m.p[t])
    ),
    "torch.Tensor.mul: its scale has shape (64,), expected one number, or one": lambda: stepwise(
        lambda m, x, t, _: m.lif1(m.a(x) * torch.arange(4.0))
    ),
    "Tensor.add, behind module 'a' (Conv2d), with numbers that differ between samples": lambda: (
        stepwise(lambda m, x, t, _: m.lif1(m.a(x) + torch.ones(3, 1, 1, 1).cumsum(0)))
    ),
    "Tensor.mul, behind module 'a' (Conv2d) and rand, which draws random numbers": lambda: stepwise(
        lambda m, x, t, _: m.lif1(m.a(x) * (torch.rand(4, 1, 1) < 0.5))
    ),
    "torch.Tensor.div, behind module 'a' (Conv2d), a quotient by it; expected Conv2d": lambda: (
        stepwise(lambda m, x, t, _: m.lif1(torch.ones(1) / m.a(x)))
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_it_is_refused_in_one_line(message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(spikesam.NetworkError, match=re.escape(message)) as caught:
        spikesam.from_torch(
            normalised(loud(REFUSED[message](), 2), 0.3), spikes(T, 3, 2, 4, 4, density=0.4)
        )
    assert "\n" not in str(caught.value)
