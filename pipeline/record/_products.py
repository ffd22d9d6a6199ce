"""Synaptic operations of one product of torch: a convolution, a linear layer or a matrix product.

Two numbers that meet, neither of them 0, cost one operation. With weights it is an addition if what
arrives is 1 or -1, a spike, and a multiplication if it is any other number; a weight of 0 is no
synapse. Where two activations meet it is an addition if one of them is a spike. Biases count
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from spikesam.common.errors import InputError
from spikesam.pipeline.record._fan_outs import (
    EXACT,
    GEOMETRY,
    TRANSPOSED_GEOMETRY,
    FanOut,
    FanOuts,
    Form,
)
from spikesam.pipeline.record._known_spikes import KnownSpikes

BLOCK = 1 << 18  # numbers that are looked at together, 1 MB
Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class CountedProduct:
    """Operations of one call, by the axes that lead: samples and steps, and perhaps more.

    `operations` are additions and multiplications, (2, …) float64, in which whole numbers below 2⁵³
    are exact. `dense` are the operations at one place of these axes if no number and no weight were
    0. `length` numbers arrive at weights there; it is 0 of products. `others` are the numbers but 0
    and 1 that arrive at a weight that is not 0, where these were counted.
    """

    operations: Tensor
    dense: int
    length: int = 0
    others: int = 0


class WatchedProducts:
    """Counts the operations of functions of torch; `is_weight` is true of the tensors of a model,
    of which fan-outs are kept until they are forgotten.
    """

    def __init__(self, is_weight: Callable[[Tensor], bool], *, counts_others: bool = False) -> None:
        self._is_weight, self._counts_others = is_weight, counts_others
        self._fan_outs = FanOuts(is_weight)
        self.known_spikes = KnownSpikes()

    def forget(self) -> None:
        """Look at all weights again: they may be others."""
        self._fan_outs.forget()

    def count(
        self, function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> CountedProduct | None:
        """Operations of a call; None of one that is no product, or of weights alone."""
        name = function.__name__
        if name in UNCOUNTED:
            raise InputError(
                f"calls {name}, whose operations are not counted; expected convolutions, linear "
                "layers, or products by matmul, @, bmm, mm or einsum"
            )
        if name not in FACTORS:
            return None
        if name == "einsum":
            return self._einsum(arguments)
        left, right = (
            _argument(name, arguments, keywords, place, keyword) for place, keyword in FACTORS[name]
        )
        _check_plain(name, left, right)
        if self._is_weight(left) and (name in WEIGHING or self._is_weight(right)):
            return None
        if name in CONVOLUTIONS:
            names = TRANSPOSED_GEOMETRY if "transpose" in name else GEOMETRY
            geometry = dict(zip(names, arguments[3:], strict=False))
            geometry |= {key: keywords[key] for key in names if key in keywords}
            batch = left if left.ndim == right.ndim else left[None]
            form = Form(tuple(batch.shape[2:]), geometry, "transpose" in name)
            return self._weighed(batch, 1, right, form)
        return self._linear(left, right) if name == "linear" else self._product(left, right)

    def _linear(self, values: Tensor, weight: Tensor) -> CountedProduct:
        matrix = weight if weight.ndim > 1 else weight[None]
        return self._weighed(values, values.ndim - 1, matrix, Form())

    def _weighed(self, values: Tensor, leading: int, weight: Tensor, form: Form) -> CountedProduct:
        """Operations by the leading axes of what arrives."""
        fan_out = self._fan_outs.of(weight, form)
        rows = values.flatten(leading).reshape(-1, fan_out.length)
        totals, spikes_alone = [], True
        known = self.known_spikes.holds(values)
        for part in rows.split(max(1, BLOCK // fan_out.length)):
            spikes, numbers = (part.to(torch.float32), None) if known else spikes_and_numbers(part)
            totals.append(_operations(spikes, numbers, fan_out))
            spikes_alone = spikes_alone and numbers is None
        if spikes_alone and not known:
            self.known_spikes.add(values)
        by_axes = torch.cat(totals, dim=1).reshape(2, *values.shape[:leading])
        others = _others(rows, fan_out) if self._counts_others else 0
        return CountedProduct(by_axes, fan_out.dense, fan_out.length, others)

    def _product(self, left: Tensor, right: Tensor) -> CountedProduct:
        if self._is_weight(right) and right.ndim < 3:
            return self._linear(left, right.T)
        rows = left if left.ndim > 1 else left[None]
        columns = right if right.ndim > 1 else right[:, None]
        spikes, numbers = self._along(rows, -2)
        other_spikes, other_numbers = self._along(columns, -1)
        multiplications = (numbers * other_numbers).sum(-1)
        present = (spikes + numbers) * (other_spikes + other_numbers)
        additions = present.sum(-1) - multiplications
        dense = rows.shape[-2] * columns.shape[-2:].numel()
        return CountedProduct(torch.stack([additions, multiplications]), dense)

    def _einsum(self, arguments: Sequence[Any]) -> CountedProduct | None:
        equation, *tensors = arguments
        operands = (
            tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
        )
        terms, _, result = str(equation).replace(" ", "").partition("->")
        letters = terms.split(",")
        if (
            not isinstance(equation, str)
            or "." in equation
            or not len(operands) == len(letters) < 3
        ):
            raise InputError(
                "calls einsum otherwise than on two tensors with a letter for each axis, so its "
                "operations are not counted; expected such as einsum('bik,bkj->bij', x, y)"
            )
        _check_plain("einsum", *operands)
        weights = [self._is_weight(operand) for operand in operands]
        if len(operands) == 1 or all(weights):
            return None
        arriving = [term for term, weight in zip(letters, weights, strict=True) if not weight]
        leading = _beginning_of([*arriving, result])
        pairs = [self._indicators(operand) for operand in operands]
        spikes = [spike.to(torch.float64) for spike, _ in pairs]
        numbers = [
            spike * 0 if number is None else number.to(torch.float64)
            for spike, (_, number) in zip(spikes, pairs, strict=True)
        ]
        present = [spike + number for spike, number in zip(spikes, numbers, strict=True)]
        multiplications = torch.einsum(f"{terms}->{leading}", *numbers)
        additions = torch.einsum(f"{terms}->{leading}", *present) - multiplications
        sizes = {
            letter: size
            for term, operand in zip(letters, operands, strict=True)
            for letter, size in zip(term, operand.shape, strict=True)
        }
        dense = math.prod(size for letter, size in sizes.items() if letter not in leading)
        return CountedProduct(torch.stack([additions, multiplications]), dense)

    def _along(self, factor: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """How many spikes and other numbers lie along an axis, each float64."""
        if axis == -1 and factor.mT.is_contiguous():
            factor, axis = factor.mT, -2  # as it lies in memory, which is faster
        spikes, numbers = self._indicators(factor)
        n_spikes = _summed(spikes, axis)
        return n_spikes, n_spikes * 0 if numbers is None else _summed(numbers, axis)

    def _indicators(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        """See :func:`spikes_and_numbers`; all weights are other numbers."""
        if self._is_weight(values):
            present = (values != 0).to(torch.float32)
            return torch.zeros_like(present), present
        if self.known_spikes.holds(values):
            return values.to(torch.float32), None
        return spikes_and_numbers(values)


def _beginning_of(terms: Sequence[str]) -> str:
    """The letters with which all terms begin."""
    columns = zip(*terms, strict=False)
    return "".join(letters[0] for letters in takewhile(lambda column: len({*column}) == 1, columns))


def _operations(spikes: Tensor, numbers: Tensor | None, fan_out: FanOut) -> Tensor:
    """Additions and multiplications of each row, (2, rows) float64, of rows of 0 and 1."""
    additions = fan_out.met_by(spikes)
    multiplications = fan_out.met_by(numbers) if numbers is not None else additions * 0
    return torch.stack([additions, multiplications])


def _others(rows: Tensor, fan_out: FanOut) -> int:
    """Numbers but 0 and 1 that meet a weight."""
    return int(((rows != 0) & (rows != 1) & fan_out.meets).sum())


def _summed(indicator: Tensor, axis: int) -> Tensor:
    """Sums of 0 and 1, exact in float32 below 2²⁴, as float64."""
    exact = indicator if indicator.shape[axis] < EXACT else indicator.to(torch.float64)
    return exact.sum(axis).to(torch.float64)


def spikes_and_numbers(values: Tensor) -> tuple[Tensor, Tensor | None]:
    """1 where a spike is, and 1 where another number is, float32; None if there is no other."""
    if values.dtype == torch.bool or (values.device.type == "cpu" and _only_spikes(values)):
        return values.to(torch.float32), None
    spikes = (values.abs() == 1).to(torch.float32)
    present = torch.empty_like(values, dtype=torch.float32)
    return spikes, torch.ne(values, 0, out=present).sub_(spikes)


def _only_spikes(values: Tensor) -> bool:
    """True of 0 and 1 alone: x - x² is 0 of no other number."""
    if not values.is_floating_point() or not values.numel():
        return False
    low, high = torch.addcmul(values, values, values, value=-1).aminmax()
    return float(low) == float(high) == 0


CONVOLUTIONS = frozenset(
    f"conv{transposed}{axes}d" for transposed in ("", "_transpose") for axes in (1, 2, 3)
)
WEIGHING = CONVOLUTIONS | {"linear"}  # the second factor is a weight, wherever it comes from
FACTORS: dict[str, tuple[tuple[int, str], ...]] = {  # name of a function -> its two factors
    **dict.fromkeys(WEIGHING, ((0, "input"), (1, "weight"))),
    **dict.fromkeys(("matmul", "__matmul__", "linalg_matmul"), ((0, "input"), (1, "other"))),
    "__rmatmul__": ((1, "other"), (0, "input")),
    **dict.fromkeys(("mm", "bmm"), ((0, "input"), (1, "mat2"))),
    **dict.fromkeys(("addmm", "addmm_"), ((1, "mat1"), (2, "mat2"))),
    **dict.fromkeys(("baddbmm", "baddbmm_"), ((1, "batch1"), (2, "batch2"))),
    "einsum": (),
}
UNCOUNTED = frozenset(
    """multi_head_attention_forward scaled_dot_product_attention _native_multi_head_attention
    _transformer_encoder_layer_fwd bilinear lstm gru rnn_tanh rnn_relu lstm_cell gru_cell
    rnn_tanh_cell rnn_relu_cell tensordot inner dot vdot mv addmv addmv_ addbmm addbmm_ chain_matmul
    linalg_multi_dot linalg_vecdot conv_tbc convolution _convolution cdist""".split()  # noqa: SIM905
)


def _check_plain(name: str, *factors: Tensor) -> None:
    """Refuse tensors whose numbers or axes are not those that they show."""
    for factor in factors:
        if factor.layout != torch.strided or factor.is_nested or factor.is_quantized:
            raise InputError(
                f"calls {name} with sparse, nested or quantized tensors, expected plain ones"
            )
        if torch._C._functorch.is_functorch_wrapped_tensor(factor):
            raise InputError(f"calls {name} in vmap or the like, expected it outside")


def _argument(
    name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], place: int, keyword: str
) -> Any:
    """An argument of a call, by position or name."""
    if place < len(arguments):
        return arguments[place]
    if keyword not in keywords:
        raise InputError(f"calls {name} without its argument {keyword!r}, expected it")
    return keywords[keyword]
