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

BLOCK = 1 << 22  # numbers that are looked at together
Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Counted:
    """Operations of one call, by the axes that lead: samples and steps, and perhaps more.

    They are float64, in which whole numbers below 2⁵³ are exact. `dense` are the operations at one
    place of these axes if no number and no weight were 0.
    """

    additions: Tensor
    multiplications: Tensor
    dense: int


class Products:
    """Counts the operations of functions of torch; `is_weight` is true of the tensors of a model, of
    which fan-outs are kept until they are forgotten.
    """

    def __init__(self, is_weight: Callable[[Tensor], bool]) -> None:
        self._is_weight = is_weight
        self._fan_outs: dict[Any, tuple[Tensor, int]] = {}

    def forget(self) -> None:
        """Forget all fan-outs: weights may change."""
        self._fan_outs.clear()

    def count(
        self, function: Function, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Counted | None:
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
        if self._is_weight(left) and (name in WEIGHING or self._is_weight(right)):
            return None
        if name in CONVOLUTIONS:
            options = {key: keywords[key] for key in keywords if key not in CONVOLVED}
            return self._convolution(function, left, right, arguments[3:], options)
        return self._linear(left, right) if name == "linear" else self._product(left, right)

    def _convolution(
        self,
        function: Function,
        values: Tensor,
        weight: Tensor,
        arguments: Sequence[Any],
        options: Mapping[str, Any],
    ) -> Counted:
        batch = values if values.ndim == weight.ndim else values[None]
        shape = tuple(batch.shape[1:])

        def fan_out(kernel: Tensor) -> Tensor:
            """The derivative of all outputs together, by what arrives."""
            arriving = torch.zeros((1, *shape), dtype=torch.float64, device=kernel.device)
            with torch.enable_grad():
                arriving.requires_grad_()
                result = function(arriving, kernel, None, *arguments, **options)
                return torch.autograd.grad(result.sum(), arriving)[0][0]

        key = function.__name__, shape, repr((arguments, options))
        return Counted(*self._weighed(batch, 1, weight, key, fan_out))

    def _linear(self, values: Tensor, weight: Tensor) -> Counted:
        matrix = weight if weight.ndim > 1 else weight[None]
        leading = values.ndim - 1
        return Counted(*self._weighed(values, leading, matrix, ("linear",), lambda w: w.sum(0)))

    def _weighed(
        self,
        values: Tensor,
        leading: int,
        weight: Tensor,
        key: tuple[Any, ...],
        fan_out: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor, int]:
        """Additions and multiplications by the leading axes of what arrives, and the dense ones."""
        reached, dense = self._reached(weight, key, fan_out)
        rows = values.flatten(leading).reshape(-1, reached.numel())
        additions, multiplications = [], []
        for part in rows.split(max(1, BLOCK // reached.numel())):
            spikes, numbers = told_apart(part)
            additions.append(spikes @ reached)
            absent = additions[-1].new_zeros(len(part))
            multiplications.append(absent if numbers is None else numbers @ reached)
        shape = values.shape[:leading]
        return (
            torch.cat(additions).reshape(shape),
            torch.cat(multiplications).reshape(shape),
            dense,
        )

    def _reached(
        self, weight: Tensor, key: tuple[Any, ...], fan_out: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, int]:
        """How many weights but 0 each value reaches, flat; and how many weights all reach, with 0."""
        lasting = self._is_weight(weight)
        version = 0 if weight.is_inference() else weight._version
        layout = tuple(weight.shape), weight.stride(), weight.data_ptr(), version
        if lasting and (*key, layout) in self._fan_outs:
            return self._fan_outs[*key, layout]
        with torch.inference_mode(False):
            present = (weight != 0).to(torch.float64)
            reached = fan_out(present).round()
            whole = reached if bool(present.all()) else fan_out(torch.ones_like(present)).round()
            result = reached.flatten(), round(float(whole.sum()))
        if lasting:
            self._fan_outs[*key, layout] = result
        return result

    def _product(self, left: Tensor, right: Tensor) -> Counted:
        if self._is_weight(right) and right.ndim < 3:
            return self._linear(left, right.T)
        rows = left if left.ndim > 1 else left[None]
        columns = right if right.ndim > 1 else right[:, None]
        spikes, numbers = self._indicators(rows)
        other_spikes, other_numbers = self._indicators(columns)
        multiplied = numbers.sum(-2), other_numbers.sum(-1)
        present = multiplied[0] + spikes.sum(-2), multiplied[1] + other_spikes.sum(-1)
        multiplications = (multiplied[0] * multiplied[1]).sum(-1)
        additions = (present[0] * present[1]).sum(-1) - multiplications
        return Counted(additions, multiplications, rows.shape[-2] * columns.shape[-2:].numel())

    def _einsum(self, arguments: Sequence[Any]) -> Counted | None:
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
        weights = [self._is_weight(operand) for operand in operands]
        if len(operands) == 1 or all(weights):
            return None
        arriving = [term for term, weight in zip(letters, weights, strict=True) if not weight]
        leading = _beginning_of([*arriving, result])
        spikes, numbers = zip(*map(self._indicators, operands), strict=True)
        present = [spike + number for spike, number in zip(spikes, numbers, strict=True)]
        multiplications = torch.einsum(f"{terms}->{leading}", *numbers)
        additions = torch.einsum(f"{terms}->{leading}", *present) - multiplications
        sizes = {
            letter: size
            for term, operand in zip(letters, operands, strict=True)
            for letter, size in zip(term, operand.shape, strict=True)
        }
        dense = math.prod(size for letter, size in sizes.items() if letter not in leading)
        return Counted(additions, multiplications, dense)

    def _indicators(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """1 where a spike is, and 1 where another number is; all weights are other numbers."""
        if self._is_weight(values):
            present = (values != 0).to(torch.float64)
            return torch.zeros_like(present), present
        spikes, numbers = told_apart(values)
        return spikes, torch.zeros_like(spikes) if numbers is None else numbers


def _beginning_of(terms: Sequence[str]) -> str:
    """The letters with which all terms begin."""
    columns = zip(*terms, strict=False)
    return "".join(letters[0] for letters in takewhile(lambda column: len({*column}) == 1, columns))


def told_apart(values: Tensor) -> tuple[Tensor, Tensor | None]:
    """1 where a spike is, and 1 where another number is, float64; None if there is no other."""
    if values.dtype == torch.bool or (values.device.type == "cpu" and _only_spikes(values)):
        return values.to(torch.float64), None
    spikes = values.abs() == 1
    return spikes.to(torch.float64), ((values != 0) & ~spikes).to(torch.float64)


def _only_spikes(values: Tensor) -> bool:
    """True of 0 and 1 alone: x - x² is 0 of no other number."""
    if not values.is_floating_point() or not values.numel():
        return False
    low, high = torch.addcmul(values, values, values, value=-1).aminmax()
    return float(low) == float(high) == 0


CONVOLUTIONS = frozenset(
    f"conv{transposed}{axes}d" for transposed in ("", "_transpose") for axes in (1, 2, 3)
)
CONVOLVED = ("input", "weight", "bias")
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


def _argument(
    name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], place: int, keyword: str
) -> Any:
    """An argument of a call, by position or name."""
    if place < len(arguments):
        return arguments[place]
    if keyword not in keywords:
        raise InputError(f"calls {name} without its argument {keyword!r}, expected it")
    return keywords[keyword]
