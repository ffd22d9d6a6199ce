"""Ways to move an axis of a tensor, and models that move theirs around a linear layer."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tests.pipeline.record.counting import Fires

Way = Callable[[Tensor, int, int], Tensor]  # axis i to place j


def _slices(x: Tensor, axis: int) -> list[Tensor]:
    before = (slice(None),) * axis
    return [x[(*before, place)] for place in range(x.shape[axis])]


def _order(ndim: int, source: int, target: int) -> list[int]:
    axes = [axis for axis in range(ndim) if axis != source]
    return [*axes[:target], source, *axes[target:]]


def _by_einsum(x: Tensor, source: int, target: int) -> Tensor:
    letters = "abcdefgh"[: x.ndim]
    moved = "".join(letters[axis] for axis in _order(x.ndim, source, target))
    return torch.einsum(f"{letters}->{moved}", x)


def _empty(x: Tensor, source: int, target: int) -> Tensor:
    return x.new_empty([x.shape[axis] for axis in _order(x.ndim, source, target)])


def _written(x: Tensor, source: int, target: int) -> Tensor:
    result = _empty(x, source, target)
    for place, part in enumerate(_slices(x, source)):
        result[(*(slice(None),) * target, place)] = part
    return result


def _copied(x: Tensor, source: int, target: int) -> Tensor:
    result = torch.zeros_like(_empty(x, source, target))
    for place, part in enumerate(x.unbind(source)):
        result.select(target, place).copy_(part)
    return result


def _places(x: Tensor, source: int, target: int) -> tuple[Tensor, Tensor]:
    """The numbers of a tensor in one row, and of each number of the result, where it lies there."""
    places = torch.arange(x.numel()).reshape(x.shape)
    return x.reshape(-1), places.permute(_order(x.ndim, source, target))


def _gathered(x: Tensor, source: int, target: int) -> Tensor:
    row, places = _places(x, source, target)
    return row.gather(0, places.reshape(-1)).reshape(places.shape)


def _sorted_gathered(x: Tensor, source: int, target: int) -> Tensor:
    row, places = _places(x, source, target)
    return row.gather(0, places.reshape(-1).argsort().argsort()).reshape(places.shape)


def _scattered(function: str, *, accumulates: bool = False) -> Way:
    """Numbers in one row are put to other places of zeros."""

    def move(x: Tensor, source: int, target: int) -> Tensor:
        row, places = _places(x, source, target)
        order = places.reshape(-1).argsort()
        zeros = torch.zeros(row.shape)
        if function.startswith("index_put"):
            return getattr(zeros, function)((order,), row, accumulates).reshape(places.shape)
        moved: Tensor = getattr(zeros, function)(0, order, row)
        return moved.reshape(places.shape)

    return move


def _by_mask(x: Tensor, source: int, target: int) -> Tensor:
    result = torch.zeros_like(_empty(x, source, target))
    order = _order(x.ndim, source, target)
    return result.masked_scatter(torch.ones_like(result).bool(), x.permute(order))


def _indexed(x: Tensor, source: int, target: int) -> Tensor:
    order = _order(x.ndim, source, target)
    sides = [torch.arange(x.shape[axis]) for axis in order]
    grid = torch.meshgrid(*sides, indexing="ij")
    return x[tuple(grid[order.index(axis)] for axis in range(x.ndim))]


def _by_numpy(x: Tensor, source: int, target: int) -> Tensor:
    return torch.from_numpy(np.moveaxis(x.numpy(), source, target).copy())


def _written_by_numpy(x: Tensor, source: int, target: int) -> Tensor:
    result = torch.zeros_like(_empty(x, source, target))
    result.numpy()[...] = np.moveaxis(np.asarray(x), source, target)
    return result


def _changed_by_numpy(x: Tensor, source: int, target: int) -> Tensor:
    result = x.clone().reshape(_empty(x, source, target).shape)
    moved = np.moveaxis(x.numpy(), source, target).copy()
    result.numpy()[...] = moved
    return result


def _by_lists(x: Tensor, source: int, target: int) -> Tensor:
    return torch.tensor(np.moveaxis(np.array(x.tolist()), source, target).tolist())


def _by_numbers(x: Tensor, source: int, target: int) -> Tensor:
    result = torch.zeros_like(_empty(x, source, target))
    for place in np.ndindex(*result.shape):
        of_axis = dict(zip(_order(x.ndim, source, target), place, strict=True))
        result[place] = x[tuple(of_axis[axis] for axis in range(x.ndim))].item()
    return result


def _data_written(x: Tensor, source: int, target: int) -> Tensor:
    result = torch.zeros_like(_empty(x, source, target)) + 0 * x.reshape(
        _empty(x, source, target).shape
    )
    for place, part in enumerate(_slices(x, source)):
        result.data[(*(slice(None),) * target, place)] = part
    return result


def _data_set(x: Tensor, source: int, target: int) -> Tensor:
    result = x.clone()
    result.data = x.movedim(source, target).contiguous()
    return result


def _into(x: Tensor, source: int, target: int) -> Tensor:
    result = x.clone().reshape(_empty(x, source, target).shape)
    torch.add(x.movedim(source, target), 0, out=result)
    return result


def _copied_over(x: Tensor, source: int, target: int) -> Tensor:
    result = x.clone().reshape(_empty(x, source, target).shape)
    return result.copy_(x.movedim(source, target))


def _written_over(x: Tensor, source: int, target: int) -> Tensor:
    result = x.clone().reshape(_empty(x, source, target).shape)
    for place, part in enumerate(_slices(x, source)):
        result[(*(slice(None),) * target, place)] = part
    return result


class _Moving(torch.autograd.Function):
    """An axis that moves in a function of one's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: int, target: int) -> Tensor:
        return x.movedim(source, target).contiguous()


class _MovingByNumPy(torch.autograd.Function):
    """An axis that moves outside of torch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: int, target: int) -> Tensor:
        return torch.from_numpy(np.moveaxis(np.asarray(x.detach()), source, target).copy())


def _vectorised(x: Tensor, source: int, target: int) -> Tensor:
    return torch.vmap(lambda part: part, in_dims=source, out_dims=target)(x)


def _swapped(x: Tensor, source: int, target: int) -> Tensor:
    step = 1 if target > source else -1
    for axis in range(source, target, step):
        x = x.transpose(axis, axis + step)
    return x


WAYS: dict[str, Way] = {
    "movedim": lambda x, i, j: x.movedim(i, j),
    "permute": lambda x, i, j: x.permute(_order(x.ndim, i, j)),
    "transpose": _swapped,
    "transpose behind an axis of one": lambda x, i, j: _swapped(x[None], i + 1, j + 1)[0],
    "unbind, stack": lambda x, i, j: torch.stack(x.unbind(i), j),
    "items, stack": lambda x, i, j: torch.stack(_slices(x, i), j),
    "split, cat": lambda x, i, j: torch.cat(
        [part.squeeze(i).unsqueeze(j) for part in x.split(1, i)], j
    ),
    "chunk, cat": lambda x, i, j: torch.cat(
        [part.squeeze(i).unsqueeze(j) for part in torch.chunk(x, x.shape[i], dim=i)], dim=j
    ),
    "iteration, stack": lambda x, i, j: torch.stack(list(x.movedim(i, 0)), j),
    "index_select, stack": lambda x, i, j: torch.stack(
        [x.index_select(i, torch.tensor([k])).squeeze(i) for k in range(x.shape[i])], j
    ),
    "einsum": _by_einsum,
    "written": _written,
    "gather": _gathered,
    "argsort, gather": _sorted_gathered,
    "scatter": _scattered("scatter"),
    "scatter_": _scattered("scatter_"),
    "scatter_add": _scattered("scatter_add"),
    "index_add": _scattered("index_add"),
    "index_copy_": _scattered("index_copy_"),
    "index_put": _scattered("index_put"),
    "index_put_, accumulate": _scattered("index_put_", accumulates=True),
    "masked_scatter": _by_mask,
    "take": lambda x, i, j: x.take(_places(x, i, j)[1]),
    "advanced indexing": _indexed,
    "overload": lambda x, i, j: torch.ops.aten.permute.default(x, _order(x.ndim, i, j)),
    "permute_copy": lambda x, i, j: torch.permute_copy(x, _order(x.ndim, i, j)),
    "NumPy": _by_numpy,
    "written by NumPy": _written_by_numpy,
    "changed by NumPy": _changed_by_numpy,
    "lists": _by_lists,
    "numbers": _by_numbers,
    "written by .data": _data_written,
    ".data set": _data_set,
    "out": _into,
    "copied over": _copied_over,
    "written over": _written_over,
    "function of one's own": lambda x, i, j: _Moving.apply(x, i, j),
    "function of one's own, NumPy": lambda x, i, j: _MovingByNumPy.apply(x, i, j),
    "vmap": _vectorised,
    "dlpack": lambda x, i, j: torch.from_dlpack(_by_numpy(x, i, j).numpy()),
    "copied": _copied,
}


class Move(NamedTuple):
    """An axis that goes to another place, or is read backwards; and the ways there and back."""

    source: int
    target: int  # the same: backwards
    there: str
    back: str

    def do(self, x: Tensor) -> Tensor:
        return x.flip(self.source) if self._flips else WAYS[self.there](x, *self[:2])

    def undo(self, x: Tensor) -> Tensor:
        return x.flip(self.source) if self._flips else WAYS[self.back](x, *self[1::-1])

    @property
    def _flips(self) -> bool:
        return self.source == self.target


class Moves(nn.Module):
    """Neurons, moves of axes, a linear layer, the moves back, and neurons.

    `merged` axes become one before the linear layer. `aside` neurons fire on what nobody moved,
    before and behind it. `steps` is the axis of the steps over which "neurons" loop alone, or
    "all", or "nothing".
    """

    def __init__(
        self,
        moves: Sequence[Move],
        merged: int,
        *,
        first: bool = True,
        aside: bool = False,
        loop: str = "nothing",
        steps: int = 0,
    ) -> None:
        super().__init__()
        self.moves, self.merged, self.first, self.aside = moves, merged, first, aside
        self.loop, self.steps = loop, steps
        self.before, self.side, self.fires = Fires(), Fires(), Fires()
        self.fc = nn.Linear(32, 1, bias=False)
        nn.init.ones_(self.fc.weight)
        self.layers = ["before"] * first + ["side"] * aside + ["fires"]

    def extra_repr(self) -> str:
        return (
            f"{[*self.moves]}, {self.merged}, first={self.first}, aside={self.aside}, "
            f"loop={self.loop!r}, steps={self.steps}"
        )

    def forward(self, x: Tensor) -> Any:
        if self.loop == "all":
            return torch.stack([self._run(step) for step in x.unbind(self.steps)], self.steps)
        return self._run(x)

    def _run(self, x: Tensor) -> Tensor:
        x = self._fire(self.before, x) if self.first else x
        moved = x
        for move in self.moves:
            moved = move.do(moved)
        sizes = moved.shape[: self.merged]
        moved = moved.flatten(0, self.merged - 1) if self.merged > 1 else moved
        side = self._fire(self.side, x) if self.aside else x
        moved = self.fc(moved)
        moved = moved.unflatten(0, sizes) if self.merged > 1 else moved
        for move in reversed(self.moves):
            moved = move.undo(moved)
        return self._fire(self.fires, moved + 0 * side)

    def _fire(self, neurons: nn.Module, x: Tensor) -> Tensor:
        if self.loop != "neurons":
            result: Tensor = neurons(x)
            return result
        return torch.stack([neurons(step) for step in x.unbind(self.steps)], self.steps)
