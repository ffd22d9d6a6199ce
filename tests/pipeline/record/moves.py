"""Ways to move an axis of a tensor, and models that move theirs around a linear layer."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
