"""Spikes that a model takes out of the gradient: named and refused where a target depends on
them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.nn import functional
from torch.utils.dlpack import from_dlpack, to_dlpack

import spikesam
from spikesam.common.errors import InputError

Between = Callable[[Any, Tensor, Tensor], Tensor]  # the model, spikes, and the current they make


class Model(nn.Module):
    """Two layers, and a function between them."""

    def __init__(self, between: Between) -> None:
        super().__init__()
        torch.manual_seed(0)
        neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
        self.between, self.rate, self.scale = between, torch.zeros(()), 9.75
        self.fc1, self.fc2 = nn.Linear(6, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.lif1, self.lif2 = (
            neuron.LIFNode(v_threshold=0.1, step_mode="m", v_reset=None) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.lif1(self.fc1(x))
        currents: Tensor = self.lif2(self.between(self, spikes, self.fc2(spikes)))
        return currents


def recorded(between: Between, out: Path, why: Any = None) -> dict[str, Any]:
    """Layer -> relevance, summed over steps, of the sum of all spikes."""
    x = (torch.rand(5, 2, 6, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    model = Model(between).eval()
    why = why or (lambda output: output.sum((0, 2)))
    with (
        torch.enable_grad(),
        spikesam.record(model, out, why=why, layout="TB...", overwrite=True) as recording,
    ):
        recording.tap("input", x, "TB...")
        recording.finish(model(x))
    with spikesam.open_maps(out / "why.h5") as maps:
        return {name: maps[name].sum for name in maps}


def without_gradient(m: Any, s: Tensor, c: Tensor) -> Tensor:
    with torch.no_grad():
        return c + m.fc2(s)


def currents_changed(m: Any, s: Tensor, c: Tensor) -> Tensor:
    with torch.no_grad():
        c.mul_(2)
    return c


def copied_part(m: Any, s: Tensor, c: Tensor) -> Tensor:
    buffer = torch.zeros_like(c)
    buffer[0].copy_(s.detach()[0])
    return buffer + c


def data_changed(m: Any, s: Tensor, c: Tensor) -> Tensor:
    s.data.mul_(2)
    return m.fc2(s)


def looked_up(m: Any, s: Tensor, c: Tensor) -> Tensor:
    return c + m.fc1.weight[:, 0][s.long()]


def hooked_when_saved(m: Any, s: Tensor, c: Tensor) -> Tensor:
    with saved_tensors_hooks(lambda tensor: 2 * tensor, lambda tensor: tensor):
        found: Tensor = m.fc2(s)
    return found


def hooked_at_a_node(m: Any, s: Tensor, c: Tensor) -> Tensor:
    assert c.grad_fn is not None
    c.grad_fn.register_hook(lambda gradients, _: (2 * gradients[0], *gradients[1:]))
    return c


def written_by_numpy(m: Any, s: Tensor, c: Tensor) -> Tensor:
    c.detach().numpy()[:] *= 2
    return c


def kept_as_an_attribute(m: Any, s: Tensor, c: Tensor) -> Tensor:
    m.mean = s.mean().item()
    return c * m.mean


@torch.jit.script
def scripted(currents: Tensor) -> Tensor:
    return currents * (currents > 0.1).float()


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (lambda m, s, c: c + s.detach(), "'detach' in the model takes what .* spikes of 'lif1'"),
        (lambda m, s, c: c * (s > 0.5), "'gt' in the model"),
        (lambda m, s, c: c + s.bool(), "'bool' in the model"),
        (lambda m, s, c: torch.where(s > 0, c, 0), "'gt' in the model"),
        (lambda m, s, c: c / c.detach().abs().amax(), "'detach'"),
        (lambda m, s, c: c + (m.lif1.v > 0.05), "'lif1' keeps or gives beside its spikes is read"),
        (without_gradient, "'linear' in module 'fc2'"),
        (currents_changed, "'mul_' in the model"),
        (copied_part, "'detach' in the model"),
        (data_changed, "'data' in the model"),
        (looked_up, "'long' in the model"),
        (lambda m, s, c: c + s.add_(1), "changes the spikes of 'lif1' in place"),
        (lambda m, s, c: c + nn.Parameter(s), "'Parameter' in the model takes"),
        (lambda m, s, c: nn.Parameter(c), "'Parameter' in module 'lif2' takes"),
        (lambda m, s, c: c + nn.Parameter(s, requires_grad=False), "'Parameter' in the model"),
        (lambda m, s, c: c + copy(s), "'a copy of memory' in the model"),
        (lambda m, s, c: c + from_dlpack(to_dlpack(s)), "'a copy of memory' in the model"),
        (lambda m, s, c: c + torch.stack(list(s.detach())), "'detach' in the model"),
        (lambda m, s, c: scripted(c), "'a hidden function' in module 'lif2'"),
        (lambda m, s, c: torch.vmap(lambda row: m.fc2(row.detach()))(s), "'detach' .* torch.vmap"),
        (hooked_when_saved, "'saved_tensors_hooks' in module 'fc2' may change the numbers"),
        (hooked_at_a_node, "the model reads grad_fn of .* behind 'lif1'"),
        (written_by_numpy, "'NumPy' in module 'lif2' takes"),
        (lambda m, s, c: written_by_numpy(m, s, s) + c, "'NumPy' in the model takes"),
        (lambda m, s, c: c * (1 + s.mean().item()), "'item' in the model takes"),
        (lambda m, s, c: c.clone().mul_(float(s.mean())), "'__float__' in the model takes"),
        (lambda m, s, c: c * int(s.sum()), "'__int__' in the model takes"),
        (lambda m, s, c: c + torch.full_like(c, s.sum().item() / 100), "'item' in the model"),
        (lambda m, s, c: c * float(s.detach().numpy().mean()), "'detach' in the model takes"),
        (kept_as_an_attribute, "'item' in the model takes"),
    ],
)
def test_spikes_out_of_the_gradient_are_refused(
    between: Between, message: str, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that leave PyTorch
        with pytest.raises(InputError, match=message) as raised:
            recorded(between, tmp_path)
    assert "\n" not in str(raised.value) and not list(tmp_path.glob("*.h5"))


def part_written(m: Any, s: Tensor, c: Tensor) -> Tensor:
    buffer = torch.zeros_like(c)
    buffer[..., 4:] = c[..., 4:]
    buffer[..., :4].add_(2 * c[..., :4])
    buffer[..., :4].mul_(0.5)
    return buffer


def chosen(m: Any, s: Tensor, c: Tensor) -> Tensor:
    """All currents, those of the most active neurons first."""
    order = s.detach().sum(0, keepdim=True).argsort(-1)
    return c.gather(-1, order.expand_as(c))


def looked_at(m: Any, s: Tensor, c: Tensor) -> Tensor:
    m.rate = s.detach().mean() + (s > 0).sum()
    return c + torch.zeros_like(s)


@pytest.mark.parametrize("between", [part_written, chosen, looked_at])
def test_what_no_target_depends_on_is_passed_over(between: Between, tmp_path: Path) -> None:
    """Relevance is conserved; a choice by index counts as the winner of a maximum does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="why")
        maps = recorded(between, tmp_path)
    sums = [maps[name].sum((1, 2)) for name in ("input", "lif1", "lif2")]
    assert np.allclose(sums, sums[2], rtol=1e-5) and (sums[2] > 1).all()


def written_down(m: Any, s: Tensor, c: Tensor) -> Tensor:
    """What fires, by Python and NumPy; numbers in the code and attributes are none of it."""
    m.rate, m.array = s.mean().item(), s.detach().numpy()
    if s.isnan().any():
        return c
    c = functional.dropout(m.scale * c * 0.5 / len(c), 0.5, training=False)
    return c.view(5, int(s.shape[1]), 8)


def test_numbers_of_python_that_do_not_come_back_are_warned_of(tmp_path: Path) -> None:
    def scaled(m: Any, s: Tensor, c: Tensor) -> Tensor:
        return m.scale * c * 0.5 / len(c)

    with pytest.warns(UserWarning, match="'item' in the model makes a number of Python .*'lif1'"):
        maps = recorded(written_down, tmp_path / "written down")
    expected = recorded(scaled, tmp_path / "not")
    assert all(np.array_equal(maps[name], expected[name]) for name in expected)
    assert expected["lif1"].any()


def on_the_processor(m: Any, s: Tensor, c: Tensor) -> Tensor:
    with save_on_cpu():
        found: Tensor = m.fc2(s)
    return found


def changed_by_torch(m: Any, s: Tensor, c: Tensor) -> Tensor:
    """An array that shares memory sees what PyTorch writes."""
    c = c.clone()
    m.array = c.detach().numpy()
    c *= 1
    return c


@pytest.mark.parametrize("between", [on_the_processor, changed_by_torch])
def test_memory_that_nobody_else_changes_is_followed(between: Between, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that leave PyTorch
        maps = recorded(between, tmp_path / "memory")
    expected = recorded(lambda m, s, c: c, tmp_path / "expected")
    assert all(np.array_equal(maps[name], expected[name]) for name in expected)


def test_a_parameter_of_the_input_takes_its_map(tmp_path: Path) -> None:
    class Wrapped(Model):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(nn.Parameter(x))

    model = Wrapped(lambda m, s, c: c).eval()
    with (
        torch.enable_grad(),
        spikesam.record(model, tmp_path, why=1, layout="TB...") as recording,
    ):
        output = model((torch.rand(5, 2, 6) < 0.5).float())
        with pytest.warns(UserWarning, match="'Parameter' in .* takes the model's input out"):
            recording.finish(output)
    with spikesam.open_maps(tmp_path / "why.h5") as maps:
        assert list(maps) == ["lif1", "lif2"]


def test_the_input_has_no_map_where_it_leaves_the_gradient(tmp_path: Path) -> None:
    class Encoded(Model):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward((x > 0.5).float())

    x, model = (torch.rand(5, 2, 6) < 0.5).float(), Encoded(lambda m, s, c: c).eval()
    with (
        torch.enable_grad(),
        spikesam.record(model, tmp_path, why=1, layout="TB...") as recording,
    ):
        recording.tap("input", x, "TB...")
        output = model(x)
        with pytest.warns(UserWarning, match="'gt' in the model takes the model's input out"):
            recording.finish(output)
    with spikesam.open_maps(tmp_path / "why.h5") as maps:
        assert list(maps) == ["lif1", "lif2"]


def test_targets_choose_what_they_explain(tmp_path: Path) -> None:
    """A target is the choice of whoever asks, so a comparison in it is no fault of the model."""
    targets = {"fires": lambda output: (output * (output > 0)).sum((0, 2))}
    fires = recorded(lambda m, s, c: c, tmp_path / "a", targets)
    whole = recorded(lambda m, s, c: c, tmp_path / "b")
    assert np.array_equal(fires["lif1"], whole["lif1"])


def attention(m: Any, s: Tensor, c: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(c[None], c[None], c[None])[0]


def part_squashed(m: Any, s: Tensor, c: Tensor) -> Tensor:
    c = c.clone()
    c[..., :2].sigmoid_()
    return c


def part_multiplied(m: Any, s: Tensor, c: Tensor) -> Tensor:
    c = c.clone()
    c[..., :2].mul_(s[..., :2])
    return c


NOT_LINEAR: dict[str, Between] = {
    "softmax": lambda m, s, c: c.softmax(-1),
    "sigmoid": lambda m, s, c: c.sigmoid(),
    "gelu": lambda m, s, c: functional.gelu(c),
    "silu": lambda m, s, c: functional.silu(c),
    "relu": lambda m, s, c: c.relu(),
    "tanh": lambda m, s, c: c.tanh(),
    "exp": lambda m, s, c: c.exp(),
    "clamp": lambda m, s, c: c.clamp(-1, 1),
    "nativelayernorm": lambda m, s, c: functional.layer_norm(c, (8,)),
    "nativegroupnorm": lambda m, s, c: functional.group_norm(c.flatten(0, 1), 2).view_as(c),
    "std": lambda m, s, c: c + c.std(),
    "pow": lambda m, s, c: c**2,
    "round": lambda m, s, c: c.round(),
    "scaleddotproduct": attention,
    "division by numbers": lambda m, s, c: c / (1 + s),
    "sigmoid_ of a part": part_squashed,
    "mul_ of a part of a tensor by numbers": part_multiplied,
}


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_what_is_not_linear_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name}.* behind 'lif1'"):
        recorded(NOT_LINEAR[name], tmp_path)


def test_a_product_beside_a_spike_has_no_degree(tmp_path: Path) -> None:
    """s + s·sᵀ mixes one spike with products of two, so a further product cannot be shared."""

    def mixed(m: Any, s: Tensor, c: Tensor) -> Tensor:
        return torch.baddbmm(s, s @ s.transpose(1, 2), s) * s

    with pytest.raises(InputError, match="sums whose terms are products of unlike many spikes"):
        recorded(mixed, tmp_path)
