"""How many weights each number meets: the law, and sums that float32 does not hold."""

from typing import Any

import pytest
import torch
from hypothesis import given, reject
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from spikesam.pipeline.record._fan_outs import FanOuts, Form, blocks


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Tensor, Form]:
    """Weights, half of them 0, and the form in which they are used."""
    axes, transposed = draw(st.integers(1, 3)), draw(st.booleans())

    def sizes(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(axes))

    groups, channels, outputs = (draw(st.integers(1, 2)) for _ in range(3))
    geometry: dict[str, Any] = {"stride": sizes(1, 3), "padding": sizes(0, 2)}
    geometry |= {"dilation": sizes(1, 2), "groups": groups}
    if not transposed and draw(st.booleans()):
        geometry |= {"stride": 1, "padding": draw(st.sampled_from(["same", "valid"]))}
    if transposed:
        geometry["output_padding"] = sizes(0, 1)
    sides = (groups * channels, outputs) if transposed else (groups * outputs, channels)
    weight = torch.randint(2, (*sides, *sizes(1, 3)), dtype=torch.float64)
    return weight, Form(sizes(1, 6), geometry, transposed)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(convolutions())
def test_the_fan_out_is_the_gradient_of_the_sum(case: tuple[Tensor, Form]) -> None:
    weight, form = case
    name = f"conv{'_transpose' * form.transposed}{len(form.sides)}d"
    counts = form.counts(weight)
    arriving = torch.zeros(1, len(counts), *form.sides, dtype=torch.float64, requires_grad=True)
    assert form.geometry is not None
    with torch.enable_grad():
        try:
            result = getattr(functional, name)(arriving, weight, None, **form.geometry)
        except RuntimeError:  # torch knows no such convolution, as of a kernel that is too large
            reject()
        (gradient,) = torch.autograd.grad(result.sum(), arriving)
    assert torch.equal(form.fan_out(counts), gradient[0])


def test_sums_above_those_of_float32_are_exact() -> None:
    """2²⁴ + 1 is no number of float32: 4097 numbers meet 4096 weights each, and one meets 1."""
    weight = torch.ones(4096, 4098)
    weight[1:, 4097] = 0
    fan_out = FanOuts(lambda tensor: True).of(weight, Form())
    assert fan_out.met_by(torch.ones(1, 4098)).tolist() == [4097 * 4096 + 1]


def test_blocks_stay_below_the_limit() -> None:
    assert blocks(torch.tensor([3, 3, 3, 3, 0, 0, 1]), 8) == [
        slice(0, 1),
        slice(1, 2),
        slice(2, 6),
        slice(6, 7),
    ]
    assert blocks(torch.tensor([3, 3]), 8) == [slice(0, 2)]
