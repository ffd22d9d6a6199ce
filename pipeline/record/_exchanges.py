"""Functions of torch that put the axes of tensors, or what lies along one, in another order.

They are told by their names and arguments. Functions that keep the order in memory (reshape, view,
flatten) exchange nothing, but may leave samples in front where steps were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import combinations
from typing import Any, Protocol

import torch
from torch import Tensor

from spikesam.pipeline.record._layouts import BATCH_FIRST, ONE_STEP

Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


class ProductReading(Enum):
    """How a product is read."""

    ALL_STEPS = "its leading axes are steps and samples"
    A_STEP = "it has a call for each step, of all samples"
    ONCE = "it has one call for all steps, of all samples"


@dataclass(frozen=True)
class Sides:
    """Steps and samples of a batch, how its layers lay them out, and how a product is read."""

    steps: int
    samples: int
    orders: frozenset[str]
    reading: ProductReading

    def exchanged(self, front: int, behind: int) -> bool:
        """True if axes of such lengths, of which the first was in front, may both be read."""
        both = self.steps * self.samples
        pair = {front, behind}
        if self.reading is ProductReading.ONCE and not pair.isdisjoint({self.steps, both} - {1}):
            return True  # the steps may lie behind
        lengths = {self.steps, self.samples, both} - {1}
        if self.reading is not ProductReading.ALL_STEPS and self.steps != self.samples:
            lengths -= {self.steps}  # the samples alone are read
        return pair <= lengths

    def are_in_front(self, leading: Sequence[int]) -> bool:
        """True of leading axes that are steps and samples, whatever comes behind them."""
        front = [side for side in leading if side > 1]
        both = [side for side in (self.steps, self.samples) if side > 1]
        if both and front[: len(both)] in (both, both[::-1]):
            return True
        if front[:1] == [self.steps * self.samples]:
            return True
        apart = self.orders <= {ONE_STEP} and self.steps != self.samples
        return self.reading is ProductReading.A_STEP and apart and leading[:1] == (self.samples,)


class Exchange(Protocol):
    """A call of a function, after which axes may be read as others."""

    def misleads(self, sides: Sides) -> bool:
        """True if steps or samples may be read in an order that they have not."""


@dataclass(frozen=True)
class Reordered:
    """Lengths of axes, of which the first was in front of the second before; or of one axis that is
    read in another order; and the leading axes that stay where they are.
    """

    pairs: Pairs
    in_front: Shape = ()

    def misleads(self, sides: Sides) -> bool:
        """True if a pair may be steps or samples."""
        exchanged = any(sides.exchanged(*pair) for pair in self.pairs)
        return exchanged and not sides.are_in_front(self.in_front)


@dataclass(frozen=True)
class Regrouped:
    """Leading axes before and after a reshape, which keeps the order of all numbers."""

    before: Shape
    after: Shape

    def misleads(self, sides: Sides) -> bool:
        """True if rows of steps and samples become as many rows as there are samples, or back, of
        layers that have the steps first.
        """
        if BATCH_FIRST in sides.orders or sides.steps == 1:
            return False
        by_step = sides.steps, sides.samples
        merged = (sides.steps * sides.samples,)
        in_front = self.before[:2] == by_step or self.before[:1] == merged
        kept = self.after[:2] == by_step or self.after[:1] == merged
        by_sample = self.before[:2] == by_step[::-1] != by_step and self.after[:1] == merged
        return by_sample or (in_front and not kept and self.after[:1] == (sides.samples,))


@dataclass(frozen=True)
class Taken:
    """Parts are taken along the first axis, of such a length, so that others may come in front."""

    length: int

    def misleads(self, sides: Sides) -> bool:
        """True if samples are taken, or steps of what layers of all steps lay out."""
        both = sides.steps * sides.samples
        if sides.reading is ProductReading.ALL_STEPS:
            lengths = sides.steps, sides.samples, both
            return not sides.orders <= {ONE_STEP} and 1 < self.length in lengths
        of_samples = sides.steps != sides.samples or BATCH_FIRST in sides.orders
        return 1 < self.length in ((sides.samples, both) if of_samples else (both,))


class Unknown:
    """Something was written into a part of a tensor, whose axes are not known."""

    def misleads(self, sides: Sides) -> bool:
        """Always."""
        return True


UNKNOWN = Unknown()


def exchange_of(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    result: Any,
) -> Exchange | None:
    """The exchange of axes in a call that gave a result; None if there is none."""
    find = FINDERS.get(function.__name__)
    if find is None or not (arguments or keywords):
        return None
    first = arguments[0] if arguments else next(iter(keywords.values()))
    return find(function, first, arguments, keywords, result)


def _permuted(
    function: Any, tensor: Any, arguments: Sequence[Any], keywords: Any, result: Any
) -> Exchange | None:
    if not (isinstance(result, Tensor) and isinstance(tensor, Tensor)):
        return None
    if not 2 <= tensor.ndim == result.ndim or tensor.is_nested:
        return None
    order = _order(function, tensor.ndim, repr((arguments[1:], keywords)), arguments[1:], keywords)
    return _of_order(order, tuple(tensor.shape))


_ORDERS: dict[Any, Shape] = {}


def _order(
    function: Any, ndim: int, written: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Shape:
    """The axis from which each axis of the result comes."""
    key = function, ndim, written
    if key not in _ORDERS:
        # sizes 0, 1, 2, … say where each axis of the result comes from
        sample = torch.empty(tuple(range(ndim)), device="meta")
        _ORDERS[key] = tuple(function(sample, *arguments, **keywords).shape)
    return _ORDERS[key]


@lru_cache(maxsize=1024)
def _of_order(order: Shape, shape: Shape) -> Exchange | None:
    pairs = [
        (shape[behind], shape[front]) for front, behind in combinations(order, 2) if front > behind
    ]
    kept = next((place for place, axis in enumerate(order) if axis != place), len(order))
    return _reordered(pairs, shape[:kept])


def _reordered(pairs: Iterable[tuple[int, int]], in_front: Sequence[int] = ()) -> Exchange | None:
    distinct = tuple(dict.fromkeys(pair for pair in pairs if max(pair) > 1))
    return Reordered(distinct, tuple(in_front)) if distinct else None


def _einsum(
    function: Any, equation: Any, arguments: Sequence[Any], keywords: Any, result: Any
) -> Exchange | None:
    terms, arrow, letters = str(equation).replace(" ", "").partition("->")
    operands = [value for value in _flat(arguments[1:]) if isinstance(value, Tensor)]
    if not arrow or "." in terms or not isinstance(result, Tensor):
        return UNKNOWN
    pairs = []
    for term, operand in zip(terms.split(","), operands, strict=False):
        sizes = dict(zip(term, operand.shape, strict=False))
        common = [letter for letter in letters if letter in sizes]
        places = [term.index(letter) for letter in common]
        pairs += [
            (sizes[common[second]], sizes[common[first]])
            for first, second in combinations(range(len(common)), 2)
            if places[first] > places[second]
        ]
    terms_and_result = [*terms.split(","), letters]
    kept = 0
    while all(len(term) > kept and term[kept] == letters[kept] for term in terms_and_result):
        kept += 1
    return _reordered(pairs, tuple(result.shape[:kept]))


def _in_front(shape: Sequence[int], axis: int) -> Iterator[tuple[int, int]]:
    """The pairs of an axis that comes in front of those before it."""
    return ((before, shape[axis]) for before in shape[:axis])


def _taken(shape: Sequence[int], axis: int) -> Exchange | None:
    return _reordered(_in_front(shape, axis)) if axis else Taken(shape[0])


def _part(place: int | None, default: int) -> Any:
    """Functions that take parts along an axis, which their argument at `place` names."""

    def find(
        function: Any, tensor: Any, arguments: Sequence[Any], keywords: Any, result: Any
    ) -> Exchange | None:
        axis = _axis(tensor, place, default, arguments, keywords)
        return None if axis is None else _taken(tensor.shape, axis)

    return find


def _backwards(place: int, default: Any) -> Any:
    """Functions that read along axes in another order, which their argument at `place` names."""

    def find(
        function: Any, tensor: Any, arguments: Sequence[Any], keywords: Any, result: Any
    ) -> Exchange | None:
        if not isinstance(tensor, Tensor) or not tensor.ndim:
            return None
        named = keywords.get("dims", keywords.get("dim", default))
        axes = arguments[place:] if len(arguments) > place else (named,)
        chosen = [axis % tensor.ndim for axis in _flat(axes) if isinstance(axis, int)]
        chosen = chosen or list(range(tensor.ndim))
        pairs = [(tensor.shape[axis],) * 2 for axis in chosen]
        pairs += list(combinations([tensor.shape[axis] for axis in chosen], 2))
        return _reordered(pairs, tensor.shape[: min(chosen)])

    return find


def _chosen(
    function: Any, tensor: Any, arguments: Sequence[Any], keywords: Any, result: Any
) -> Exchange | None:
    """Parts along an axis, in an order of indices."""
    axis = _axis(tensor, 1, 0, arguments, keywords)
    if axis is None:
        return None
    side = tensor.shape[axis]
    return _reordered([(side, side), *_in_front(tensor.shape, axis)])


def _joined(place: int | None, default: int) -> Any:
    """Functions that join tensors along an axis, which their argument at `place` names."""

    def find(
        function: Any, joined: Any, arguments: Sequence[Any], keywords: Any, result: Any
    ) -> Exchange | None:
        axis = _axis(result, place, default, arguments, keywords)
        parts = len(joined) if isinstance(joined, list | tuple) else 1
        return _reordered((parts, before) for before in result.shape[:axis])

    return find


def _axis(
    tensor: Any,
    place: int | None,
    default: int,
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> int | None:
    """The axis of a tensor that a call names; None of other values."""
    if not isinstance(tensor, Tensor) or not tensor.ndim:
        return None
    axis = keywords.get("dim", keywords.get("axis", default))
    if place is not None and len(arguments) > place:
        axis = arguments[place]
    return axis % tensor.ndim if isinstance(axis, int) else None


def _indexed(
    function: Any, tensor: Any, arguments: Sequence[Any], keywords: Any, result: Any
) -> Exchange | None:
    """Of an index, or of what is written there."""
    if not isinstance(tensor, Tensor) or len(arguments) < 2:
        return None
    index = arguments[1] if isinstance(arguments[1], tuple) else (arguments[1],)
    axes = sum(_axes_of(entry) for entry in index)
    if len(index) == axes == 1 and function.__name__ == "__getitem__" and _is_part(index[0]):
        return Taken(tensor.shape[0])
    pairs: list[tuple[int, int]] = []
    axis = 0
    for entry in index:
        if entry is Ellipsis:
            axis += tensor.ndim - axes
            continue
        if entry is None or isinstance(entry, bool) or axis >= tensor.ndim:
            continue
        if not _is_part(entry):
            pairs.append((tensor.shape[axis],) * 2)
        if not isinstance(entry, slice) or entry != slice(None):
            pairs += _in_front(tensor.shape, axis)
        axis += _axes_of(entry)
    return _reordered(pairs)


def _is_part(entry: Any) -> bool:
    """True of an index that is a number, or a slice."""
    return isinstance(entry, int | slice) or (isinstance(entry, Tensor) and not entry.ndim)


def _axes_of(entry: Any) -> int:
    """How many axes an entry of an index stands for."""
    if entry is None or entry is Ellipsis or isinstance(entry, bool):
        return 0
    return entry.ndim if isinstance(entry, Tensor) and entry.dtype == torch.bool else 1


def _enlarged(
    function: Any, tensor: Any, arguments: Sequence[Any], keywords: Any, result: Any
) -> Exchange | None:
    """Axes of one number that become longer, behind others."""
    if not (isinstance(tensor, Tensor) and isinstance(result, Tensor)):
        return None
    shape = (1,) * (result.ndim - tensor.ndim) + tuple(tensor.shape)
    longer = [axis for axis, side in enumerate(shape) if side < result.shape[axis]]
    interleaved = function.__name__ == "repeat_interleave"
    pairs = [
        (result.shape[axis] // max(1, shape[axis]), before)
        for axis in longer
        for before in shape[: axis + interleaved]
    ]
    return _reordered(pairs, result.shape[: longer[0]] if longer else ())


def _regrouped(
    function: Any, tensor: Any, arguments: Sequence[Any], keywords: Any, result: Any
) -> Exchange | None:
    if not (isinstance(tensor, Tensor) and isinstance(result, Tensor)):
        return None
    before, after = tuple(tensor.shape[:2]), tuple(result.shape[:2])
    return None if before == after else Regrouped(before, after)


def _unknown(
    function: Any, tensor: Any, arguments: Sequence[Any], keywords: Any, result: Any
) -> Exchange:
    return UNKNOWN


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


PERMUTATIONS = "transpose permute movedim moveaxis swapaxes swapdims t adjoint __get__"  # .T, .mT
FINDERS: dict[str, Callable[..., Exchange | None]] = {
    **dict.fromkeys(PERMUTATIONS.split(), _permuted),
    "einsum": _einsum,
    "unbind": _part(1, 0),
    "select": _part(1, 0),
    "narrow": _part(1, 0),
    "narrow_copy": _part(1, 0),
    "__iter__": _part(None, 0),
    "vsplit": _part(None, 0),
    "hsplit": _part(None, 1),
    "dsplit": _part(None, 2),
    **dict.fromkeys(
        "chunk split tensor_split split_with_sizes unsafe_chunk unsafe_split".split(),  # noqa: SIM905
        _part(2, 0),
    ),
    **dict.fromkeys(("__getitem__", "__setitem__"), _indexed),
    "stack": _joined(1, 0),
    **dict.fromkeys(("cat", "concat", "concatenate"), _joined(1, 0)),
    **dict.fromkeys(("hstack", "column_stack"), _joined(None, 1)),
    "dstack": _joined(None, 2),
    "flip": _backwards(1, ()),
    "fliplr": _backwards(9, 1),
    "flipud": _backwards(9, 0),
    "roll": _backwards(2, ()),
    "rot90": _backwards(2, (0, 1)),
    **dict.fromkeys(("index_select", "gather"), _chosen),
    "take_along_dim": _backwards(2, ()),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _enlarged),
    **dict.fromkeys(("repeat", "tile", "repeat_interleave"), _enlarged),
    **dict.fromkeys(
        "reshape reshape_as view view_as flatten unflatten ravel".split(),  # noqa: SIM905
        _regrouped,
    ),
    **dict.fromkeys(
        """as_strided unfold take masked_select diagonal transpose_ t_ swapaxes_ swapdims_
        as_strided_""".split(),  # noqa: SIM905
        _unknown,
    ),
}
