"""The layout of the spikes of each layer of a model, and on which grid its tokens lie."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from spikesam.common.errors import InputError
from spikesam.common.warning import warn
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.record._batch import Batch, Key
from spikesam.pipeline.record._layouts import (
    LAYOUTS,
    Axes,
    Layout,
    merged,
    named_layout,
    order_of,
    parse,
)
from spikesam.pipeline.record._token_layers import known_axes

INPUT = "input"  # names the model's input among axes, where no module has this name
Sides = tuple[int, int]
Value = TypeVar("Value")


class Arrangement:
    """The axes of a model's layers, as the caller or a library says them; `used` has module -> axes
    it was read by.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: Layout,
        axes: Mapping[str, str] | None = None,
        grid: Sides | Mapping[str, Sides] | None = None,
    ) -> None:
        self.convolutions = Convolutions()
        self.used: dict[str, str] = {}
        self.orders: dict[str, str] = {}  # module -> where its steps stand
        self._maps: set[tuple[str, tuple[int, ...]]] = set()  # modules, and steps that are maps
        self._rows: set[str] = set()  # modules whose tokens lie in one row, since no grid is known
        self._model, self._layout = model, layout
        self._layouts: dict[str, Layout] = {}  # name of a module -> its library's, or the caller's
        self._found: dict[tuple[str, int], Axes | None] = {}
        self._axes = {
            pattern: parse(text) for pattern, text in _table({} if axes is None else axes).items()
        }
        grids: object = {} if grid is None else grid if isinstance(grid, Mapping) else {"*": grid}
        self._grids = {pattern: _sides(sides) for pattern, sides in _table(grids).items()}
        modules = [name for name, _ in model.named_modules() if name]
        self.input_axes = None if INPUT in modules else self._axes.pop(INPUT, None)
        for where, pattern in (
            *(("axes", each) for each in self._axes),
            *(("grid", each) for each in self._grids),
        ):
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in modules):
                near = difflib.get_close_matches(pattern, modules, 3) or modules[:8]
                raise InputError(
                    f"{where}: no module {pattern!r} in {type(model).__name__}; did you mean "
                    f"{' or '.join(near)}?"
                )

    def layout_of(self, name: str, module: nn.Module, batch: Batch, key: Key) -> Layout:
        """The layout that brings a module's output to (S, B, …)."""
        if name not in self._layouts:
            self._layouts[name] = known_layout(module) or self._layout
        library = self._layouts[name]

        def arranged(spikes: Tensor) -> Tensor:
            axes = self._axes_of(name, spikes.ndim)
            self.orders[name] = order_of(library) if axes is None else axes.order
            if axes is None:
                steps = library(spikes)
                call = name, tuple(steps.shape[2:])
                if call not in self._maps:  # the convolutions in front are known while it runs
                    self._expect_convolution(
                        name, steps, batch, key, each_step=spikes.ndim < steps.ndim
                    )
                    self._maps.add(call)
                return steps
            return self._arrange(name, axes, batch, key, spikes)

        return arranged

    def _axes_of(self, name: str, ndim: int) -> Axes | None:
        """The caller's axes, or those that are known; found once, as there are as many calls as
        steps.
        """
        if (name, ndim) not in self._found:
            self._found[name, ndim] = _first(self._axes, name) or known_axes(
                self._model, name, ndim
            )
        return self._found[name, ndim]

    def _arrange(self, name: str, axes: Axes, batch: Batch, key: Key, spikes: Tensor) -> Tensor:
        arranged = axes.arrange(
            spikes, batch.sizes(key), lambda tokens: self._grid(name, tokens, batch, key)
        )
        self.used[name] = axes.pattern
        return arranged

    def layout_named(self, name: str, layout: str | None, batch: Batch, key: Key) -> Layout:
        """The layout that a caller names for spikes that no module put out, which may be axes."""
        if not isinstance(layout, str) or " " not in layout:
            return named_layout(layout)
        return partial(self._arrange, name, parse(layout), batch, key)

    def _grid(self, name: str, tokens: int | None, batch: Batch, key: Key) -> Sides:
        """Rows and columns of so many tokens; of any number if it is None."""
        given = _first(self._grids, name)
        if tokens == 1:  # one place for all tokens
            return 1, 1
        maps = [shape[1:] for shape in batch.shapes_before(key) if shape[1:] != (1, 1)]
        fitting = [
            sides for sides in ([given] if given else maps) if tokens in (None, math.prod(sides))
        ]
        if not (fitting or given or maps or tokens is None):
            if name not in self._rows:
                self._rows.add(name)
                warn(
                    f"record: {name!r} has {tokens} tokens, and no map before says how they lie, "
                    "so they are one row; grid=(rows, columns) says otherwise",
                )
            return 1, tokens
        if not fitting:
            found = "tokens of an unknown number" if tokens is None else f"{tokens} tokens"
            known = f"{given[0]} × {given[1]} = {math.prod(given)} of grid=" if given else ""
            raise InputError(
                f"got {found}, expected {known or 'as many as places in a map before'}; say how "
                "many rows and columns "
                "they have with grid=(rows, columns), or for some layers with "
                f"grid={{{name!r}: (rows, columns)}}"
            )
        return fitting[-1]

    def _expect_convolution(
        self, name: str, steps: Tensor, batch: Batch, key: Key, *, each_step: bool
    ) -> None:
        """Refuse steps of several axes of which nobody knows what they are."""
        sides = tuple(steps.shape[2:])
        if len(sides) not in (2, 3):
            return
        made = self.convolutions.made(sides)
        maps = [
            shape
            for shape in batch.shapes_before(key)
            if shape[1] > 1 and shape[1] * shape[2] == sides[-1]
        ]
        if made and not (len(sides) == 2 and maps):
            return
        why = (
            f"which may be {maps[-1][1]} × {maps[-1][2]} tokens"
            if made
            else "which no convolution made"
        )
        likely = "B C N" if made else "B N C" if len(sides) == 2 else "B heads N d"
        likely, channels = (f"{'' if each_step else 'T '}{axes}" for axes in (likely, "B C H W"))
        instead = f", or {channels!r} if it is a map" if len(sides) == 3 else ""
        raise InputError(
            f"got a step of shape {tuple(steps.shape[1:])}, {why}; name its axes, such as axes="
            f"{{{name!r}: {likely!r}}}{instead}: T steps, if a call gives several, B samples, N "
            "tokens of a grid, H W "
            "rows and columns, others channels"
        )


def known_layout(module: nn.Module) -> Layout | None:
    """The layout of a module's spikes, as its library says; None if it is of no known library, or
    does not spike.
    """
    library = library_that_fires(module)
    if library is None:
        return None
    axes = library.axes(module)
    squeezed: Any = module
    return (
        merged(squeezed.batch_size, squeezed.num_timesteps) if axes == "(BT)..." else LAYOUTS[axes]
    )


def _first(table: Mapping[str, Value], name: str) -> Value | None:
    """The value of the first pattern that a name fits."""
    return next((value for pattern, value in table.items() if fnmatchcase(name, pattern)), None)


def _table(given: object) -> Mapping[str, object]:
    """A mapping from names of modules."""
    if not isinstance(given, Mapping) or not all(isinstance(pattern, str) for pattern in given):
        raise InputError(
            f"axes: got {given!r}, expected names of modules, or patterns, and theirs: "
            f"{{name: 'T B N C'}}"
        )
    return given


def _sides(given: object) -> Sides:
    """Rows and columns."""
    sides = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if len(sides) != 2 or not all(
        isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides
    ):
        raise InputError(f"grid: got {given!r}, expected rows and columns, such as (8, 8)")
    return sides[0], sides[1]


ALIKE = 0.25  # how far the ratios of pooling may lie apart for rows and columns: 7 → 3 and 8 → 4 do


def is_convolution(module: nn.Module) -> bool:
    """Of torch, or of a library: what has kernels and puts out channels."""
    return hasattr(module, "kernel_size") and hasattr(module, "out_channels")


class Convolutions:
    """The convolutions that were called, of maps and of rows, and the model's own input."""

    def __init__(self) -> None:
        self._maps: dict[
            tuple[int, ...], None
        ] = {}  # (C, H, W) and (C, L), each once, the last one called at the end
        self._given: tuple[int, ...] = ()  # (C, H, W) of the input

    def begin(self, inputs: Sequence[Any]) -> None:
        """None was called so far, in a pass with these inputs."""
        self._maps.clear()
        given = next((each for each in inputs if isinstance(each, Tensor)), None)
        self._given = tuple(given.shape[-3:]) if given is not None and given.ndim > 3 else ()

    def see(self, module: Any, inputs: Any, output: Any) -> None:
        """Take the shape of what a convolution gave."""
        if isinstance(output, Tensor):
            axes = len(module.kernel_size) if isinstance(module.kernel_size, Sequence) else 2
            shape = (module.out_channels, *output.shape[-axes:][:2])  # lava-dl: (H, W, T)
            self._maps.pop(shape, None)
            self._maps[shape] = None

    def made(self, step: tuple[int, ...]) -> bool:
        """True if (C, H, W) or (C, L) may be a map: the input, any before, or made of the last one
        otherwise.

        That is: pooled or enlarged, by one factor for rows and columns, where channels may become
        pixels; with more channels.
        """
        before = [each for each in self._maps if len(each) == len(step)]
        if step in before or step == self._given or (len(step) == 3 and step[1:] == (1, 1)):
            return True
        if not before:
            return False
        (channels, *sides), now = before[-1], step[1:]
        if len(sides) == 1:
            return channels == step[0] and now[0] <= sides[0]
        ratios = [side / each for side, each in zip(sides, now, strict=True)]
        alike = abs(ratios[0] - ratios[1]) <= ALIKE * max(ratios) or _pooled(sides, now)
        factor = now[0] // sides[0]
        shuffled = [factor * side for side in sides] == list(now) and step[
            0
        ] * factor**2 == channels
        return shuffled or (step[0] >= channels and alike)


def _pooled(sides: Sequence[int], now: Sequence[int]) -> bool:
    """True if one factor leads from some sides to others, to a pixel."""
    factors = range(1, max(sides) + 1)
    return any(
        all(abs(side / k - each) < 1 for side, each in zip(sides, now, strict=True))
        for k in factors
    )
