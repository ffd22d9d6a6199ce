"""Faults that models had, and faults put into models by hand: each is named, with its module."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
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


def test_samples_mixed_in_what_arrives_at_neurons_that_always_fire() -> None:
    """What they put out says nothing."""

    def forward(m: Any, x: Tensor) -> Tensor:
        return m.lif2(m.fc2(m.lif1(m.fc1(x))).softmax(0) + 9)

    assert ("samples mixed", "lif2") in named(checked(forward))


class Draws(nn.Module):
    """Adds numbers that a function draws."""

    def __init__(self, draw: Callable[[], Any]) -> None:
        super().__init__()
        self._draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return x + float(self._draw())


@pytest.mark.parametrize("draw", [random.random, np.random.rand, itertools.count(1).__next__])
def test_chance_outside_of_torch_mixes_no_samples(draw: Callable[[], Any]) -> None:
    """Random numbers of Python and NumPy have a seed, too; where equal runs differ nevertheless,
    others are not compared.
    """

    def states() -> Any:
        return random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002

    before = states()
    found = checked(with_module, module=Draws(draw))
    assert named(found) == [("not deterministic", "module")]
    assert any("equal runs differ" in line for line in found.unchecked) == (found.passes == 2)
    assert states() == before


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
    """Currents of 1 fire at each of 2 steps: 3 neurons of 2 samples, 0.5 in place of 1. Those of
    neuron 0 meet only weights of 0; the others make 4 numbers a step at fc2. What pooling makes of
    them, at fc3, is 0.5, too.
    """

    def forward(m: Any, x: Tensor) -> Tensor:
        fired = m.lif1(m.fc1(x))
        pooled = fired[:, :2].mean(1, keepdim=True)
        return m.lif2(m.fc2(fired) + m.fc3(pooled))

    linears = {"fc1": nn.Linear(1, 3), "fc2": nn.Linear(3, 2), "fc3": nn.Linear(1, 2)}
    for linear in linears.values():
        nn.init.ones_(linear.weight)
        nn.init.zeros_(linear.bias)
    nn.init.zeros_(linears["fc2"].weight[:, 0])
    model = Written(forward, **linears, lif1=fires(0.2), lif2=fires(0.2)).eval()
    model.lif1.graded_spikes_factor = torch.nn.Parameter(torch.tensor(0.5))
    found = spikesam.check(model, [torch.ones(2, 1)] * 2)
    assert ("not spikes", "lif1") in named(found)
    (finding,) = (each for each in found.findings if each.name == "not spikes")
    assert finding.sentence == (
        "100.00% of what it puts out is neither 0 nor 1, such as 0.5; such numbers that reach "
        "weights: 8 of fc2, 4 of fc3"
    )


def test_other_numbers_that_reach_no_weight() -> None:
    model = net(right)
    model.lif2.graded_spikes_factor = torch.nn.Parameter(torch.tensor(0.5))
    found = spikesam.check(model, list(batch()))
    (finding,) = (each for each in found.findings if each.name == "not spikes")
    assert finding.module == "lif2"
    assert finding.sentence.endswith("; such numbers that reach weights: none")


def test_neurons_without_a_known_equation() -> None:
    """All but their rule is checked."""
    alpha = pytest.importorskip("snntorch").Alpha(0.9, 0.8, threshold=0.1, init_hidden=True)
    model = nn.Sequential(nn.Linear(8, 12), Centred(), alpha).eval()
    found = spikesam.check(model, list(batch()))
    assert ("samples mixed", "1") in named(found)
    (sentence,) = (line for line in found.unchecked if line.startswith("the rule"))
    assert sentence.startswith("the rule of '2', whose equation is not known here")


def test_rules_that_were_not_looked_at_are_named_with_the_reason() -> None:
    snntorch = pytest.importorskip("snntorch")

    class Own(nn.Module):
        def forward(self, currents: Tensor) -> Tensor:
            return (currents > 0.5).float()

    class Rectified(nn.Module):
        def forward(self, currents: Tensor) -> Tensor:
            return currents.relu()

    back = snntorch.RLeaky(0.9, init_hidden=True, linear_features=12)
    layers = (nn.Linear(8, 12), Own(), nn.Linear(12, 12), Rectified(), nn.Linear(12, 12), back)
    model = nn.Sequential(*layers).eval()
    unchecked = spikesam.check(model, list(batch())).unchecked
    assert [line for line in unchecked if line.startswith("the rule")] == [
        "the rule of '5', whose spikes come back to it",
        "the rule of '1', which puts out spikes: no library known here has Own",
    ]


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
        (torch.ones(2, 8), {"reset": len}, "check: reset is a function that fails with TypeError"),
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


def test_neurons_whose_spikes_follow_another_equation() -> None:
    """snnTorch's Synaptic once put its membrane in the place of its current."""
    snntorch = pytest.importorskip("snntorch")

    class Swapped(snntorch.Synaptic):  # type: ignore[name-defined]
        def forward(self, *arguments: Any) -> Any:
            output = super().forward(*arguments)
            self.syn = self.mem
            return output

    def step(m: Any, x: Tensor) -> Tensor:
        return m.lif2(m.lif1(m.fc(x)))

    def model(kind: Any) -> nn.Module:
        torch.manual_seed(0)
        lif1 = kind(alpha=0.5, beta=0.8, threshold=0.3, init_hidden=True)
        return Written(step, fc=nn.Linear(8, 12), lif1=lif1, lif2=fires(0.2)).eval()

    assert named(spikesam.check(model(snntorch.Synaptic), list(batch()))) == []
    assert named(spikesam.check(model(Swapped), list(batch()))) == [("another rule", "lif1")]


def test_the_rule_that_fits_is_named() -> None:
    """A membrane that is put to zero by a hook, where the library subtracts the threshold."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")

    class Hard(neuron.IFNode):  # type: ignore[name-defined]
        def forward(self, x: Tensor) -> Tensor:
            spikes: Tensor = super().forward(x)
            state: Any = self
            state.v = state.v * (1 - spikes)
            return spikes

    def model(kind: Any) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 12), kind(v_threshold=0.2, v_reset=None)).eval()

    steps = list(2 * batch())
    assert named(spikesam.check(model(neuron.IFNode), steps)) == []
    found = spikesam.check(model(Hard), steps).findings[0]
    assert (found.name, found.module) == ("another rule", "1")
    assert "what it fires follows if it resets to zero" in found.sentence


def test_a_number_of_steps_that_does_not_reach_the_model() -> None:
    """SpikeFET: T = 8 stood in the file, and the model was made with T = 1."""
    assert named(spikesam.check(net(right), batch()[:1][0])) == [
        ("one step", "lif1"),
        ("one step", "lif2"),
    ]


def test_silence_and_neurons_that_fire_always() -> None:
    model = net(right)
    model.lif1.threshold, model.lif2.threshold = torch.tensor(-1e3), torch.tensor(1e3)
    found = spikesam.check(model, list(batch())).findings
    assert ("far from threshold", "lif2") in [(each.name, each.module) for each in found]
    assert ("always firing", "lif1") in [(each.name, each.module) for each in found]


def test_shares_of_a_layer_that_are_silent_or_fire_always() -> None:
    """Currents of 9 fire at each step, of 0.05 and leak 0.8 reach 0.147 of a threshold of 0.2 after
    4 steps, of 0.01 never half of it.
    """
    currents = torch.tensor([9.0, 9, 9, 0.05, 0.05, 0.01, 0.01, 0.01])
    model = nn.Sequential(fires(0.2)).eval()

    def notes(inputs: Tensor) -> list[tuple[str, str]]:
        found = spikesam.check(model, [inputs] * 4).findings
        return [(each.name, each.sentence) for each in found if each.name != "ignored"]

    assert notes(currents.expand(2, -1)) == [
        (
            "silent",
            "5 of 8 neurons (62%) never fire, and 3 never come above 0.5 of the threshold",
        )
    ]
    assert notes(currents[:5].expand(2, -1)) == [
        ("always firing", "3 of 5 neurons (60%) fire at every step")
    ]


@torch.library.custom_op("spikesam_tests::fire", mutates_args=())
def kernel(currents: Tensor) -> Tensor:
    return torch.from_numpy((currents.numpy() >= 1).astype("float32"))


def test_neurons_that_ask_for_a_backend_that_does_not_run() -> None:
    """SpikingJelly once ran Triton in evaluation, whichever backend its neurons named."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")

    class Hidden(neuron.IFNode):  # type: ignore[name-defined]
        def forward(self, x: Tensor) -> Tensor:
            spikes: Tensor = kernel(x)
            return spikes

    def found(kind: Any, backend: str) -> list[tuple[str, str]]:
        neurons = kind(step_mode="m")
        neurons.backend = backend
        model = nn.Sequential(nn.Linear(8, 12), neurons).eval()
        findings = spikesam.check(model, batch()).findings
        return [(each.name, each.module) for each in findings if "backend" in each.name]

    assert found(neuron.IFNode, "torch") == []
    assert found(neuron.IFNode, "cupy") == [("another backend", "1")]
    assert found(Hidden, "torch") == [("another backend", "1")]
    assert found(Hidden, "triton") == []


def test_weights_that_multiply_numbers() -> None:
    """fc1 gets 8 numbers, 12 weights each; fc2 gets spikes."""
    model = net(right)
    found = spikesam.check(model, [torch.rand(3, 8) + 2 for _ in range(4)]).findings
    (multiplies,) = (each for each in found if each.name == "multiplies")
    assert multiplies.module == "fc1" and "in 1 of 2 modules: fc1 100%" in multiplies.sentence
    assert "multiplies" not in [each.name for each in checked(right).findings]


def test_the_share_of_multiplications_at_borders() -> None:
    """A kernel of 3 with weights at its ends, over 4 places: the outer ones meet 1 weight, the
    inner ones 2. A spike at the first place and a number at the second one, of each of two samples:
    2 of 3 operations multiply.
    """
    model = nn.Sequential(nn.Conv1d(1, 1, 3, padding=1, bias=False), fires(0.1)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[[1.0, 0.0, 1.0]]]))
    inputs = torch.tensor([1.0, 0.5, 0.0, 0.0]).expand(2, 1, 4)
    found = spikesam.check(model, inputs, timesteps=2).findings
    (multiplies,) = (each for each in found if each.name == "multiplies")
    assert multiplies.sentence.startswith("66.7% of the operations of weights multiply a number")


def test_products_that_are_not_counted_are_not_checked() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.neurons = nn.MultiheadAttention(8, 1, batch_first=True), fires(0.1)

        def forward(self, x: Tensor) -> Tensor:
            spikes: Tensor = self.neurons(self.attention(x, x, x)[0])
            return spikes

    unchecked = spikesam.check(Attends().eval(), torch.rand(3, 4, 8), timesteps=2).unchecked
    assert any("multi_head_attention_forward" in line for line in unchecked)


def test_weights_that_are_no_numbers_are_refused() -> None:
    model = net(right)
    model.fc1.weight.data[0, 0] = torch.nan
    with pytest.raises(InputError, match="check: 'fc1.weight' holds NaN, expected finite numbers"):
        spikesam.check(model, list(batch()))


def ignored(model: nn.Module, inputs: Any) -> list[tuple[str, str]]:
    """Modules, "" of an input, and what is said."""
    findings = spikesam.check(model, inputs).findings
    return [(each.module, each.sentence) for each in findings if each.name == "ignored"]


def test_what_has_no_influence() -> None:
    """A layer that forward leaves out, and a forward that reads all steps but the last."""

    def forward(m: Any, x: Tensor) -> Tensor:
        return torch.stack([m.lif(m.fc(step)) for step in x])[:-1].sum(0)

    model = Written(forward, fc=nn.Linear(8, 12), lif=fires(0.2), extra=nn.Linear(3, 2)).eval()
    assert ignored(model, batch()) == [
        ("", "the last of 5 steps was replaced, and nothing that the model returned changed"),
        ("extra", "it has 8 parameters, and its forward never ran"),
    ]
    assert ignored(net(right), list(batch())) == []


class Scaled(nn.Module):
    """Uses one of its parameters, and the shape of another."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(12)), nn.Parameter(torch.zeros(12))
        self.gate = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + torch.zeros(self.shift.shape)


def test_single_parameters_without_influence() -> None:
    """Named with the module that has them; a shape that is read is no influence."""
    found = ignored(net(with_module, module=Scaled()), list(batch()))
    assert [finding for finding in found if finding[0]] == [
        ("module", "it never reads parameters 'shift', 'gate', 13 numbers")
    ]


def with_weights(m: Any, x: Tensor) -> Tensor:
    weights = torch.stack([m.rows[0], m.rows[1]])
    current = nn.functional.linear(m.fc1(x), m.direct.weight) + torch.cat([weights.flatten()])
    return m.lif2(m.fc2(m.lif1(m.attend(*[current[None]] * 3)[0][0])))


def test_parameters_that_forward_uses_directly() -> None:
    """Of a layer that is not called, in a list, and by attention."""
    layers: dict[str, Any] = {
        "direct": nn.Linear(12, 12),
        "attend": nn.MultiheadAttention(12, 2),
        "rows": nn.ParameterList([torch.zeros(6)] * 3),
    }
    found = ignored(net(with_weights, **layers), list(batch()))
    assert [finding for finding in found if finding[0]] == [
        ("direct", "it never reads parameter 'bias', 12 numbers"),
        ("rows", "it never reads parameter '2', 6 numbers"),
    ]


class Beside(nn.Module):
    """Two layers, and a head beside them, which the first one drives."""

    def __init__(self, use: Callable[[Any, Tensor, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
        options: dict[str, Any] = {"v_threshold": 0.2, "step_mode": "m"}
        self.use, self.noted = use, []
        self.fc1, self.lif1 = nn.Linear(6, 8), neuron.LIFNode(**options)
        self.head = nn.Sequential(nn.Linear(8, 8), neuron.LIFNode(**options))
        self.fc2, self.lif2 = nn.Linear(8, 4), neuron.LIFNode(**options)

    def forward(self, x: Tensor) -> Any:
        spikes = self.lif1(self.fc1(x))
        beside = self.use(self, spikes, self.head(spikes))
        return self.lif2(self.fc2(spikes if beside is None else beside))


class Doubled(torch.autograd.Function):
    """A function that no mode sees."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor) -> Tensor:
        return 2 * numbers


def added(m: Any, s: Tensor, h: Tensor) -> Any:
    return s + 0 * h


def averaged(m: Any, s: Tensor, h: Tensor) -> Any:
    _ = h.mean() * 2


def noted(m: Any, s: Tensor, h: Tensor) -> Any:
    m.noted.append(h.mean())


def as_a_number(m: Any, s: Tensor, h: Tensor) -> Any:
    m.rate = h.mean().item()


def written(m: Any, s: Tensor, h: Tensor) -> Any:
    buffer = torch.zeros_like(s)
    buffer[0].add_(h[0])
    return buffer


def unseen(m: Any, s: Tensor, h: Tensor) -> Any:
    return Doubled.apply(h)


def by_numpy(m: Any, s: Tensor, h: Tensor) -> Any:
    return torch.from_numpy(2 * h.numpy())


def dropped(use: Any) -> list[str]:
    """The modules whose results go nowhere."""
    x = (torch.rand(5, 4, 6) < 0.5).float()
    checked = spikesam.check(Beside(use).eval(), x, takes="TB...")
    return [finding.module for finding in checked.findings if "goes nowhere" in finding.sentence]


@pytest.mark.parametrize("use", [lambda m, s, h: None, averaged])
def test_a_module_whose_result_is_dropped(use: Any) -> None:
    assert dropped(use) == ["head"]


@pytest.mark.parametrize("use", [added, noted, as_a_number, written, unseen, by_numpy])
def test_a_module_whose_result_is_used(use: Any) -> None:
    assert dropped(use) == []
