"""A kernel with fewer settings says the same as torch's convolution with all of them."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch.nn import functional

from spikesam.pipeline.imports.road import kernels

sides = some.integers(1, 4)


def drawn(*shape: int) -> torch.Tensor:
    """Small integers, whose sums float32 holds."""
    return torch.randint(-4, 5, shape).float()


@given(groups=some.integers(1, 3), out=sides, inputs=sides, rows=sides, columns=sides)
def test_groups_are_zeros(groups: int, out: int, inputs: int, rows: int, columns: int) -> None:
    weight, maps = drawn(out * groups, inputs, rows, columns), drawn(2, inputs * groups, 6, 5)
    found = functional.conv2d(maps, torch.tensor(kernels.ungrouped(weight.numpy(), groups)))
    assert torch.equal(found, functional.conv2d(maps, weight, groups=groups))


@given(rows=sides, columns=sides, dilation=some.tuples(sides, sides))
def test_dilation_is_zeros(rows: int, columns: int, dilation: tuple[int, int]) -> None:
    weight, maps = drawn(2, 3, rows, columns), drawn(2, 3, 14, 15)
    found = functional.conv2d(maps, torch.tensor(kernels.undilated(weight.numpy(), dilation)))
    assert torch.equal(found, functional.conv2d(maps, weight, dilation=dilation))


@given(rows=sides, columns=sides, stride=some.integers(1, 3), padding=some.tuples(*4 * [some.integers(0, 3)]))
def test_one_padding_for_all_sides(rows: int, columns: int, stride: int, padding: tuple[int, ...]) -> None:
    weight, maps = drawn(2, 3, rows, columns), drawn(2, 3, 7, 6)
    top, bottom, left, right = padding
    made, around = kernels.evenly_padded(weight.numpy(), ((top, bottom), (left, right)))
    expected = functional.conv2d(functional.pad(maps, (left, right, top, bottom)), weight, stride=stride)
    assert torch.equal(functional.conv2d(maps, torch.tensor(made), stride=stride, padding=around), expected)


@given(rows=sides, columns=sides, dilation=some.integers(1, 3))
def test_same_padding_is_torchs(rows: int, columns: int, dilation: int) -> None:
    weight, maps = drawn(2, 3, rows, columns), drawn(2, 3, 7, 6)
    whole = kernels.undilated(weight.numpy(), (dilation, dilation))
    made, around = kernels.evenly_padded(whole, kernels.same_padding(whole.shape[2:]))
    expected = functional.conv2d(maps, weight, padding="same", dilation=dilation)
    assert torch.equal(functional.conv2d(maps, torch.tensor(made), padding=around), expected)


@given(side=sides, stride=some.tuples(sides, sides), padding=some.integers(0, 2), window=some.tuples(sides, sides))
def test_averages_are_convolutions(side: int, stride: tuple[int, int], padding: int, window: tuple[int, int]) -> None:
    weight, maps = drawn(2, 3, side, side), drawn(2, 3, 23, 22)
    made = torch.tensor(kernels.averaged(weight.numpy(), stride, window))
    expected = functional.avg_pool2d(functional.conv2d(maps, weight, stride=stride, padding=padding), window, 2)
    found = functional.conv2d(maps, made, stride=(2 * stride[0], 2 * stride[1]), padding=padding)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-4)


def test_an_average_by_hand() -> None:
    mean = kernels.averaged(np.array([[[[4.0, 8.0]]]], np.float32), (1, 1), (1, 2))
    assert mean.tolist() == [[[[2, 6, 4]]]]
