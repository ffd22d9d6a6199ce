"""Operations of PyTorch between neurons: relevance follows them, or they are refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import spikesam
from spikesam.common.errors import InputError
from spikesam.pipeline.imports.torch.modules import reset
from tests.pipeline.record.test_constants import Between, Model

ORDER = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
EARLY = ORDER > 3
STEPS, SAMPLES, NEURONS = SHAPE = 5, 3, 8


def inputs() -> Tensor:
    return (torch.rand(STEPS, SAMPLES, 6, generator=torch.Generator().manual_seed(1)) < 0.5).float()


def recorded(between: Between, out: Path) -> dict[str, Any]:
    """Layer -> relevance of the sum of all spikes, (B, H, W)."""
    model, x = Model(between).eval(), inputs()
    with (
        torch.enable_grad(),
        spikesam.record(
            model, out, why=lambda output: output.sum((0, 2)), layout="TB...", overwrite=True
        ) as recording,
    ):
        recording.tap("input", x, "TB...")
        recording.finish(model(x), answers=None)
    with spikesam.open_maps(out / "why.h5") as maps:
        return {name: maps[name].sum for name in maps}


def arriving_spikes() -> Tensor:
    """(T, B, N), as operations get them."""
    model = Model(lambda m, s, c: c).eval()
    with torch.no_grad():
        spikes: Tensor = model.lif1(model.fc1(inputs()))
    return spikes


def by_its_matrix(between: Between) -> Between:
    """The product with a matrix that gives what an operation of degree 1 gives."""
    model, spikes = Model(between).eval(), arriving_spikes()
    with torch.enable_grad():
        jacobian: Any = torch.autograd.functional.jacobian(
            lambda s: between(model, s * 1.0, model.fc2(s * 1.0)), spikes
        )
        expected = between(model, spikes, model.fc2(spikes)).detach()
    matrix = jacobian.reshape(expected.numel(), spikes.numel())
    assert torch.allclose(matrix @ spikes.flatten(), expected.flatten(), atol=1e-5)
    return lambda m, s, c: (matrix @ s.reshape(-1)).view(expected.shape)


def in_place(m: Any, s: Tensor, c: Tensor) -> Tensor:
    c = c.clone()
    c *= 2
    c += s
    return c


def written(m: Any, s: Tensor, c: Tensor) -> Tensor:
    buffer = torch.zeros_like(c)
    buffer[..., ORDER] = c
    return buffer


def two_parts(m: Any, s: Tensor, c: Tensor) -> Tensor:
    buffer = torch.zeros(SHAPE)
    buffer[..., :4], buffer[..., 4:] = c[..., :4], s[..., 4:]
    return buffer


def circular(m: Any, s: Tensor, c: Tensor) -> Tensor:
    kernels = torch.arange(9.0).reshape(1, 1, 3, 3)
    images = functional.pad(s.reshape(-1, 1, 2, 4), (1, 1, 1, 1), mode="circular")
    return functional.conv2d(images, kernels).reshape(SHAPE)


def hooked(m: Any, s: Tensor, c: Tensor) -> Tensor:
    c = c.clone()
    c.register_hook(lambda gradient: 3 * gradient)
    return c


def checkpointed(m: Any, s: Tensor, c: Tensor) -> Tensor:
    from torch.utils.checkpoint import checkpoint

    found: Tensor = checkpoint(m.fc2, s, use_reentrant=False)
    return found


FOLLOWED: dict[str, Between] = {
    "sort": lambda m, s, c: c.sort(-1, descending=True).values,
    "topk": lambda m, s, c: c.topk(NEURONS, -1).values,
    "argsort and gather": lambda m, s, c: c.gather(-1, c.argsort(-1)),
    "argsort and take_along_dim": lambda m, s, c: c.take_along_dim(c.argsort(-1), -1),
    "argmax and gather": lambda m, s, c: c + c.gather(-1, c.argmax(-1, keepdim=True)),
    "take": lambda m, s, c: c.take(torch.arange(c.numel()).flip(0)).view(SHAPE).flip(0, 1),
    "index_select": lambda m, s, c: c.index_select(-1, ORDER),
    "integer array": lambda m, s, c: c[..., ORDER],
    "array of NumPy": lambda m, s, c: c[:, :, ORDER.numpy()],
    "list": lambda m, s, c: c[:, :, ORDER.tolist()],
    "boolean mask": lambda m, s, c: torch.cat([c[..., EARLY], c[..., ~EARLY]], -1),
    "masked_select": lambda m, s, c: c.masked_select(torch.ones(SHAPE).bool()).view(SHAPE),
    "masked_fill": lambda m, s, c: c.masked_fill(EARLY, 0),
    "masked_scatter": lambda m, s, c: torch.zeros(SHAPE).masked_scatter(c.new_ones(SHAPE) > 0, c),
    "where": lambda m, s, c: torch.where(EARLY, c, s),
    "index_put": written,
    "index_put, summed": lambda m, s, c: torch.zeros(SHAPE).index_put(
        (torch.arange(STEPS).clamp(max=3),), c, accumulate=True
    ),
    "index_copy": lambda m, s, c: torch.zeros(SHAPE).index_copy(2, ORDER, c),
    "index_add": lambda m, s, c: torch.zeros(SHAPE).index_add(2, ORDER // 2, c),
    "index_fill": lambda m, s, c: c.index_fill(2, ORDER[:3], 0),
    "scatter": lambda m, s, c: torch.zeros(SHAPE).scatter(2, ORDER.expand_as(c), c),
    "scatter_add": lambda m, s, c: torch.zeros(SHAPE).scatter_add(2, (ORDER // 2).expand_as(c), c),
    "select_scatter": lambda m, s, c: c.select_scatter(s[0], 0, 1),
    "slice_scatter": lambda m, s, c: c.slice_scatter(s[:2], 0, 0, 2),
    "diagonal_scatter": lambda m, s, c: c.diagonal_scatter(s[:, :, 0], dim1=1, dim2=2),
    "tril": lambda m, s, c: c.tril(),
    "roll": lambda m, s, c: c.roll((1, 2), (0, 2)),
    "flip": lambda m, s, c: c.flip(0, 2),
    "rot90": lambda m, s, c: torch.rot90(c, 2, (0, 2)),
    "cumsum": lambda m, s, c: c.cumsum(0),
    "diff": lambda m, s, c: c.diff(dim=-1, prepend=s[..., :1]),
    "channel_shuffle": lambda m, s, c: functional.channel_shuffle(c.mT[..., None], 2)[..., 0].mT,
    "lerp": lambda m, s, c: torch.lerp(c, s, 0.25),
    "circular padding": circular,
    "bilinear, antialiased": lambda m, s, c: functional.interpolate(
        c.view(STEPS, SAMPLES, 2, 4), size=(2, 4), mode="bilinear", antialias=True
    ).flatten(2),
    "nearest-exact": lambda m, s, c: functional.interpolate(
        c, scale_factor=2, mode="nearest-exact"
    )[..., :NEURONS],
    "grid_sample": lambda m, s, c: functional.grid_sample(
        s.view(STEPS, SAMPLES, 2, 4), torch.full((STEPS, 2, 4, 2), 0.3), align_corners=False
    ).flatten(2),
    "torch.func.vmap": lambda m, s, c: torch.func.vmap(m.fc2, in_dims=1, out_dims=1)(s),
    "torch.func.functional_call": lambda m, s, c: torch.func.functional_call(
        m.fc2, dict(m.fc2.named_parameters()), (s,)
    ),
    "torch.func.jvp": lambda m, s, c: torch.func.jvp(m.fc2, (s,), (s,))[1],
    "checkpoint": checkpointed,
    "in place": in_place,
    "two parts": two_parts,
    "double and back": lambda m, s, c: c.double().float(),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_it_is_the_relevance_of_a_matrix(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="why")
        found = recorded(FOLLOWED[name], tmp_path)
    expected = recorded(by_its_matrix(FOLLOWED[name]), tmp_path)
    most = max(np.abs(values).max() for values in expected.values())
    assert most > 0.5
    for layer, values in expected.items():
        assert np.abs(found[layer] - values).max() <= 1e-5 * most, layer


def test_a_product_below_vmap_is_shared(tmp_path: Path) -> None:
    """A spike and a current have half each, with torch.func and without."""
    found = recorded(lambda m, s, c: torch.func.vmap(lambda row: m.fc2(row) * row)(s), tmp_path)
    expected = recorded(lambda m, s, c: c * s, tmp_path)
    assert all(np.allclose(found[layer], expected[layer], atol=1e-5) for layer in expected)


def test_hooks_of_gradients_do_not_see_relevance(tmp_path: Path) -> None:
    """A model's own hook multiplies gradients, in its own backward pass alone."""
    found, expected = (recorded(between, tmp_path) for between in (hooked, lambda m, s, c: c))
    assert all(np.array_equal(found[layer], expected[layer]) for layer in expected)
    with torch.enable_grad():
        weights = []
        for between in (hooked, lambda m, s, c: c.clone()):
            model = Model(between)
            model(inputs()).sum().backward()
            weights.append(model.fc2.weight.grad)
    assert torch.allclose(weights[0], 3 * weights[1])


@pytest.mark.parametrize("why", [0, "answer", "a mask of NumPy"])
def test_arrays_that_do_not_come_back_are_warned_of_alone(why: Any, tmp_path: Path) -> None:
    """A model that looks at its spikes by NumPy, and a target that chooses by NumPy."""

    def watched(m: Any, s: Tensor, c: Tensor) -> Tensor:
        m.rate = torch.from_numpy(s.detach().numpy().mean((0, 1)))
        return c

    mask = np.arange(NEURONS) < 4
    targets = {
        "a mask of NumPy": lambda output: (output * torch.from_numpy(1.0 * mask)).sum((0, 2))
    }
    model, x = Model(watched).eval(), inputs()
    with (
        torch.enable_grad(),
        spikesam.record(
            model, tmp_path, why={"it": targets.get(why, why)}, layout="TB..."
        ) as recording,
    ):
        recording.tap("input", x, "TB...")
        output = model(x)
        with pytest.warns(UserWarning, match="'detach' in the model makes a number"):
            recording.finish(output)
    with spikesam.open_maps(tmp_path / "why.h5") as maps:
        assert maps["lif1"].sum.any()


class Add(torch.autograd.Function):
    """Named as a function of PyTorch's own, whose gradient is another."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor) -> Tensor:
        return 2 * numbers

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient


def inner_gradient(m: Any, s: Tensor, c: Tensor) -> Tensor:
    return c + torch.autograd.grad((s * c).sum(), s, retain_graph=True)[0]


def part_rounded(m: Any, s: Tensor, c: Tensor) -> Tensor:
    c = c.clone()
    c[..., :2].div_(0.1, rounding_mode="floor")
    return c


def out_without_gradient(m: Any, s: Tensor, c: Tensor) -> Tensor:
    out = torch.empty_like(c)
    with torch.no_grad():
        torch.mul(c, 2, out=out)
    return out + s


def array_written(m: Any, s: Tensor, c: Tensor) -> Tensor:
    buffer = torch.zeros(SHAPE)
    buffer.numpy()[:] = s.detach().numpy()
    return buffer + c


def data_replaced(m: Any, s: Tensor, c: Tensor) -> Tensor:
    c = c.clone()
    c.data = 2 * c.data
    return c


def module_hooked(m: Any, s: Tensor, c: Tensor) -> Tensor:
    handle = m.fc2.register_full_backward_hook(lambda *_: None)
    found: Tensor = m.fc2(s)
    handle.remove()
    return found


def negative_masked(m: Any, s: Tensor, c: Tensor) -> Tensor:
    c = c.clone()
    c[c < 0] = 0
    return c


REFUSED: dict[str, tuple[Between, str]] = {
    "sort of spikes": (lambda m, s, c: s.sort(-1).values, "sort takes one winner among spikes"),
    "topk of spikes": (lambda m, s, c: s.topk(8, -1).values, "topk takes one winner among spikes"),
    "kthvalue": (lambda m, s, c: c - c.kthvalue(3, -1, keepdim=True).values, "kthvalue is not"),
    "median": (lambda m, s, c: c - c.median(-1, keepdim=True).values, "median is not linear"),
    "mask of negative currents": (negative_masked, "'lt' in the model"),
    "masked_fill of negative currents": (lambda m, s, c: c.masked_fill(c < 0, 0), "'lt' in"),
    "scatter, multiplied": (
        lambda m, s, c: torch.ones(SHAPE).scatter(2, ORDER.expand_as(c), c, reduce="multiply"),
        "scatter is not linear",
    ),
    "floor_divide": (lambda m, s, c: c + c // 0.1, "__floordiv__ is not linear"),
    "div, rounded": (
        lambda m, s, c: c + torch.div(c, 0.1, rounding_mode="floor"),
        "div with rounding_mode='floor' is not linear",
    ),
    "a part, rounded": (part_rounded, "div_ with rounding of a part of a tensor is not linear"),
    "grid_sample at spikes": (
        lambda m, s, c: functional.grid_sample(
            c.view(STEPS, SAMPLES, 2, 4), s.view(STEPS, 3, 4, 2), align_corners=False
        )[:, :, :2].flatten(2),
        "gridsampler2d at places that spikes made",
    ),
    "a gradient in the model": (inner_gradient, "'grad' in the model"),
    "torch.func.grad": (lambda m, s, c: torch.func.grad(lambda a: (a**3).sum())(c), "pow is not"),
    "sigmoid below vmap": (lambda m, s, c: torch.func.vmap(torch.sigmoid)(c), "sigmoid is not"),
    "an own function": (
        lambda m, s, c: Add.apply(c),
        "Add is an autograd function with a backward",
    ),
    "a module's hook": (module_hooked, "BackwardHookFunction is an autograd function"),
    "out=": (out_without_gradient, "'mul' in the model"),
    ".data": (lambda m, s, c: c + c.data, "'data' in the model"),
    ".data replaced": (data_replaced, "'data' in the model"),
    "NumPy and back": (lambda m, s, c: c + torch.from_numpy(2 * s.detach().numpy()), "'detach' in"),
    "__array__ and back": (lambda m, s, c: c + torch.as_tensor(np.array(s.detach())), "'detach'"),
    "NumPy, written into": (array_written, "'detach' in the model"),
    "a list and back": (lambda m, s, c: c + torch.tensor(s.tolist()), "'tolist' in the model"),
    "DLPack and back": (lambda m, s, c: c + torch.from_dlpack(s.detach()), "'detach' in the model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_followed_is_named(name: str, tmp_path: Path) -> None:
    between, message = REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that leave PyTorch
        with pytest.raises(InputError, match=message) as raised:
            recorded(between, tmp_path)
    assert "lif1" in str(raised.value) and "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*.h5"))


def test_results_that_are_written_to_a_tensor_are_refused(tmp_path: Path) -> None:
    """PyTorch itself refuses them, as soon as there are gradients."""
    with pytest.raises(InputError, match="'mul' in the model writes spikes, .* to out=, which has"):
        recorded(lambda m, s, c: torch.mul(c, 2, out=torch.empty_like(c)), tmp_path)


def test_arrays_written_after_the_last_use_are_refused(tmp_path: Path) -> None:
    """No function reads them again, but the product's gradient is made of them."""

    def late(m: Any, s: Tensor, c: Tensor) -> Tensor:
        copied = c.clone()
        product = s * copied
        copied.detach().numpy()[:] = 5
        return product

    with pytest.raises(InputError, match="'NumPy' outside of the model writes into numbers of"):
        recorded(late, tmp_path)


ROWS = torch.tensor([2, 0, 1])
MIXED: dict[str, Between] = {
    "permuted": lambda m, s, c: c[:, ROWS],
    "index_select": lambda m, s, c: c.index_select(1, ROWS),
    "rolled": lambda m, s, c: c.roll(1, 1),
    "flipped": lambda m, s, c: c.flip(1),
    "sorted by activity": lambda m, s, c: c[:, s.detach().sum((0, 2)).argsort()],
    "sorted by value": lambda m, s, c: c.sort(1).values,
    "stacked in another order": lambda m, s, c: torch.stack(c.unbind(1)[::-1], 1),
    "reshaped": lambda m, s, c: c.transpose(0, 1).reshape(SHAPE),
    "centred by the mean of the batch": lambda m, s, c: c - 0.5 * c.mean(1, keepdim=True),
}


@pytest.mark.parametrize("name", MIXED)
def test_samples_that_are_mixed_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="samples are mixed behind 'lif1'"):
        recorded(MIXED[name], tmp_path)
    assert not list(tmp_path.glob("*.h5"))


@pytest.mark.parametrize("place", ["in the model", "in the target"])
def test_rows_that_answers_permute_are_refused(place: str, tmp_path: Path) -> None:
    """Also where the rows of a layer come back in their order at the end."""

    class Restored(Model):
        def forward(self, x: Tensor) -> Tensor:
            found = super().forward(x)
            return found[:, ROWS.argsort()] if place == "in the model" else found

    between = MIXED["permuted"] if place == "in the model" else lambda m, s, c: c
    model, x = Restored(between).eval(), inputs()
    rows = torch.arange(SAMPLES) if place == "in the model" else ROWS
    with (
        pytest.raises(InputError, match="samples are mixed behind 'lif2'"),
        torch.enable_grad(),
        spikesam.record(
            model, tmp_path, why=lambda output: output.sum((0, 2))[rows], layout="TB..."
        ) as recording,
    ):
        recording.finish(model(x), answers=None)


def batches(between: Between, out: Path, sizes: Sequence[int], why: Any = None) -> dict[str, Any]:
    """Layer -> relevance (B, H, W) of several batches of so many samples."""
    why = why or (lambda output: output.sum((0, 2)))
    model, x = Model(between).eval(), torch.cat([inputs()] * 4, 1)
    with (
        torch.enable_grad(),
        spikesam.record(model, out, why=why, layout="TB...", overwrite=True) as recording,
    ):
        for size in sizes:
            reset(model)
            recording.tap("input", part := x[:, :size], "TB...")
            recording.finish(model(part), answers=None)
    with spikesam.open_maps(out / "why.h5") as maps:
        return {name: maps[name].sum for name in maps}


def test_later_batches_are_bit_for_bit_the_first_one(tmp_path: Path) -> None:
    """A half of their targets is 2⁸⁰ times as large in the backward pass."""
    maps = batches(lambda m, s, c: c, tmp_path, [3] * 5)
    for values in maps.values():
        assert values.any()
        assert all(np.array_equal(values[:3], part) for part in np.split(values, 5))


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("first", [1, 3])
def test_samples_that_are_mixed_in_a_later_batch_are_refused(
    name: str, first: int, tmp_path: Path
) -> None:
    """The first batch has one sample, or the model keeps those of two batches apart."""
    calls = []

    def between(m: Any, s: Tensor, c: Tensor) -> Tensor:
        calls.append(c)
        return MIXED[name](m, s, c) if len(calls) > (1 if first == 1 else 2) else c

    with pytest.raises(InputError, match="samples are mixed behind 'lif1'"):
        batches(between, tmp_path, [first, 3, 3, 3, 3, 3])


@pytest.mark.parametrize("rows", [[1, 0], [0, 0], [1, 1]])
def test_rows_that_a_target_takes_otherwise_later(rows: list[int], tmp_path: Path) -> None:
    """Two batches of two samples, behind the first one, see both ways."""
    asked = []

    def why(output: Tensor) -> Tensor:
        asked.append(output)
        order = rows if len(asked) > 1 else [0, 1]
        return output.sum((0, 2))[order]

    with pytest.raises(InputError, match="samples are mixed behind 'lif2'"):
        batches(lambda m, s, c: c, tmp_path, [2] * 3, why)


def test_spikes_beside_numbers_have_one_winner(tmp_path: Path) -> None:
    """The maximum of a spike and 0.5 is s + 0.5 (1 - s), of which the second part is constant."""

    def larger(m: Any, s: Tensor, c: Tensor) -> Tensor:
        beside = torch.stack([s, torch.full_like(s, 0.5)], -1)
        return functional.max_pool1d(beside.flatten(2), 2)

    silent = 0.5 * (1 - arriving_spikes())
    found, expected = (
        recorded(between, tmp_path) for between in (larger, lambda m, s, c: s + silent)
    )
    assert all(np.allclose(found[layer], expected[layer], atol=1e-6) for layer in expected)
    assert expected["lif1"].max() > 0.5
