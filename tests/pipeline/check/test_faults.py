"""Faults that models had, and faults put into models by hand: each is named, with its module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.common.errors import InputError
from tests.pipeline.imports.models import Written, fires
from tests.pipeline.record.hand_written import Net
from tests.pipeline.record.transformers import Model, Spiking_Self_Attention

STEPS, SAMPLES = 5, 3


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def named(checked: Any) -> list[tuple[str, str]]:
    """Faults and warnings with their modules."""
    return [(each.name, each.module) for each in checked.findings if each.severity != "note"]


def batch(samples: int = SAMPLES) -> Tensor:
    return (torch.rand(STEPS, samples, 8) < 0.6).float()


def net(forward: Callable[[Any, Tensor], Any], **more: nn.Module) -> Any:
    """Two layers of neurons, one step a call."""
    layers = {"fc1": nn.Linear(8, 12), "lif1": fires(0.2), "fc2": nn.Linear(12, 4)}
    return Written(forward, **layers, lif2=fires(0.2), **more).eval()


def right(m: Any, x: Tensor) -> Tensor:
    return m.lif2(m.fc2(m.lif1(m.fc1(x))))


def checked(forward: Callable[[Any, Tensor], Any], **more: nn.Module) -> Any:
    return spikesam.check(net(forward, **more), list(batch()))


def test_a_neuron_that_runs_over_steps_and_samples_as_one_axis() -> None:
    """QKFormer's attention: the last neurons are given (T·B, C, N) in place of (T, B, C, N)."""
    model = Model(Spiking_Self_Attention)
    found = spikesam.check(model, torch.rand(4, 2, 1, 4, 6))
    assert ("samples mixed", "attn.proj_lif") in named(found)
    (mixed,) = (each for each in found.findings if each.name == "samples mixed")
    assert mixed.sentence == "sample 0 of 2 was replaced, and others changed in its 8×8×6"
    with pytest.raises(InputError, match=r"samples mixed in 'attn.proj_lif': sample 0 of 2"):
        found.raise_for("samples mixed")


class Centred(nn.Module):
    """Subtracts the mean of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Trace(nn.Module):
    """Adds up what arrives, and is never reset."""

    def __init__(self) -> None:
        super().__init__()
        self.sum: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.sum = 0.9 * self.sum + x
        return x + 0.1 * self.sum


def with_module(m: Any, x: Tensor) -> Tensor:
    return m.lif2(m.fc2(m.lif1(m.module(m.fc1(x)))))


def mean_between(m: Any, x: Tensor) -> Tensor:
    current = m.fc1(x)
    return m.lif2(m.fc2(m.lif1(current - current.mean(0))))


def test_right_models_have_neither_faults_nor_warnings() -> None:
    assert named(checked(right)) == []


@pytest.mark.parametrize(
    ("forward", "module", "expected"),
    [
        (with_module, Centred(), ("samples mixed", "module")),
        (mean_between, None, ("samples mixed", "lif1")),
        (with_module, Noisy(), ("not deterministic", "module")),
        (with_module, nn.Dropout(0.4).train(), ("train mode", "module")),
        (with_module, nn.BatchNorm1d(12).train(), ("batch statistics", "module")),
        (
            with_module,
            nn.BatchNorm1d(12, track_running_stats=False),
            ("batch statistics", "module"),
        ),
        (with_module, Trace(), ("state left over", "module")),
    ],
    ids=["centred", "a mean in forward", "noise", "dropout", "BatchNorm", "no statistics", "state"],
)
def test_a_fault_put_in_is_named(
    forward: Any, module: nn.Module | None, expected: tuple[str, str]
) -> None:
    model = net(forward, **({} if module is None else {"module": module}))
    if module is not None and expected[0] in ("train mode", "batch statistics"):
        module.train("mode" in expected[0] or getattr(module, "running_mean", None) is not None)
    assert expected in named(spikesam.check(model, list(batch())))


def test_neurons_that_get_samples_for_steps() -> None:
    """A multi-step neuron that is given (B, T, …) runs over the samples."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")

    def forward(m: Any, x: Tensor) -> Tensor:
        currents = m.fc(x).transpose(0, 1)
        return m.lif(currents).transpose(0, 1).sum(0)

    model = Written(
        forward, fc=nn.Linear(8, 6), lif=neuron.LIFNode(v_threshold=0.3, step_mode="m")
    ).eval()
    found = spikesam.check(model, batch(), takes="TB...")
    assert ("samples mixed", "lif") in named(found)


def test_a_step_that_acts_on_earlier_ones() -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")

    def forward(m: Any, x: Tensor) -> Tensor:
        currents = m.fc(x)
        return m.lif(currents - currents.mean(0)).sum(0)

    model = Written(
        forward, fc=nn.Linear(8, 6), lif=neuron.LIFNode(v_threshold=0.1, step_mode="m")
    ).eval()
    assert named(spikesam.check(model, batch())) == [("later steps", "lif")]


def test_spikes_of_other_sizes() -> None:
    model = net(right)
    model.lif1.graded_spikes_factor = torch.nn.Parameter(torch.tensor(0.5))
    found = spikesam.check(model, list(batch()))
    assert ("not spikes", "lif1") in named(found)
    assert (
        "such as 0.5" in next(each for each in found.findings if each.name == "not spikes").sentence
    )


def test_the_model_is_as_it_was() -> None:
    model = net(right)
    model(batch()[0])
    membrane, hooks = model.lif1.mem.clone(), [len(m._forward_hooks) for m in model.modules()]
    spikesam.check(model, list(batch()))
    assert torch.equal(model.lif1.mem, membrane)
    assert hooks == [len(m._forward_hooks) for m in model.modules()]


def test_a_model_with_a_reset_of_its_own() -> None:
    torch.manual_seed(1)
    model, images = Net(), torch.rand(3, 2, 6, 6)
    assert ("state left over", "lif1") in named(spikesam.check(model, images, timesteps=4))
    assert named(spikesam.check(model, images, timesteps=4, reset=model.reset)) == []


def test_at_most_four_runs() -> None:
    model, calls = net(right), []
    model.register_forward_hook(lambda *_: calls.append(1))
    assert spikesam.check(model, list(batch())).passes == 4 == len(calls) / STEPS


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("x", {}, "inputs: got str, expected a tensor"),
        (torch.full((2, 8), torch.nan), {}, "inputs: hold NaN"),
        (torch.ones(2, 8), {"timesteps": 0}, "timesteps: got 0"),
        (torch.ones(2, 8), {"takes": "TB"}, "takes: got 'TB', expected one of"),
        (torch.ones(2, 9), {}, "check: called with .2, 9., the model fails with RuntimeError"),
    ],
)
def test_what_does_not_fit_is_one_line(inputs: Any, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spikesam.check(net(right), inputs, **options)


def test_it_prints_as_a_table_and_shows_itself() -> None:
    found = checked(with_module, module=Centred())
    assert str(found).splitlines()[1].split() == ["fault", "samples", "mixed", "module"]
    assert "<table" in found._repr_html_()
    with pytest.raises(InputError, match="raise_for: got 'mixed', expected one of 'fault'"):
        found.raise_for("mixed")
