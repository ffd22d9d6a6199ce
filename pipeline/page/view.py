"""The page of a run as a widget of a notebook: what is chosen on it are values of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from spikesam.common.arguments import checked_arguments
from spikesam.common.constraints import is_whole, shown
from spikesam.common.errors import InputError, did_you_mean
from spikesam.pipeline.page._content import kinds_of, run_content
from spikesam.pipeline.page._shown_run import open_run
from spikesam.pipeline.page.write import HERE, LIMIT, page_html

if TYPE_CHECKING:
    from spikesam.backends.network import Network
    from spikesam.pipeline.networks.checkpoint import Checkpoint


VALUES = ("layer", "place", "step", "edit")
EDIT = {"layer", "places", "channels"}  # keys of an edit


class RefusedValueError(InputError, traitlets.TraitError):
    """A value that a view does not take; it keeps the one before."""


class View(anywidget.AnyWidget):
    """A page in a notebook, made by :func:`view`.

    A click on the page sets its attributes, and what they are set to is shown on the page. Call a
    function at each change: `view.observe(function, "place")`.

    Attributes
    ----------
    layer : name of the chosen layer, or None
    place : (row, column) in that layer, (neuron,) where the layer has no places, or None
    step : the step that is shown, or None for the sum of all steps
    edit : what is silent: {"layer": name, "places": places as above, "channels": numbers}, or None
    """

    _esm = HERE / "js" / "widget.js"
    _page = traitlets.Unicode().tag(sync=True)
    layer = traitlets.Any(None).tag(sync=True)
    place = traitlets.Any(None).tag(sync=True)
    step = traitlets.Any(None).tag(sync=True)
    edit = traitlets.Any(None).tag(sync=True)

    def __init__(self, page: str, content: Mapping[str, Any]) -> None:
        self._layers = {layer["name"]: layer for layer in content["layers"]}
        self._steps: int = content["steps"]
        self._unsilenced = content["unsilenced"] if content["integers"] is None else None
        super().__init__(_page=page)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what a front end sends: these four values alone."""
        super().set_state({name: sync_data[name] for name in VALUES if name in sync_data})

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse an attribute that a view does not have: a value set there changes nothing."""
        if not name.startswith("_") and not hasattr(type(self), name):
            near = did_you_mean(name, VALUES)
            raise RefusedValueError(
                f"view: has no {name}, expected one of {', '.join(VALUES)}{near}"
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        """One line: what is chosen."""
        return f"<View: layer {self.layer}, place {self.place}, step {self.step}>"

    @traitlets.validate("layer")
    def _known_layer(self, proposal: Any) -> str | None:
        name = proposal["value"]
        if name is not None:
            self._layer_called(name, "layer")
        return name

    @traitlets.validate("place")
    def _place_in_layer(self, proposal: Any) -> tuple[int, ...] | None:
        place = proposal["value"]
        if place is None:
            return None
        if self.layer is None:
            raise RefusedValueError("view.place: no layer is chosen; set view.layer before")
        return _place(self._layer_called(self.layer, "layer"), place, "place")

    @traitlets.validate("step")
    def _step_of_run(self, proposal: Any) -> int | None:
        step = proposal["value"]
        if step is None:
            return None
        return _number(step, self._steps, "step")

    @traitlets.validate("edit")
    def _known_edit(self, proposal: Any) -> dict[str, Any] | None:
        edit = proposal["value"]
        if edit is None:
            return None
        if self._unsilenced is not None:
            raise RefusedValueError(f"view.edit: {self._unsilenced}")
        if not isinstance(edit, Mapping) or "layer" not in edit or {*edit} - EDIT:
            raise RefusedValueError(
                f"view.edit is {shown(edit)}, expected "
                '{"layer": name, "places": [(row, column)], "channels": [number]} or None'
            )
        layer = self._layer_called(edit["layer"], "edit")
        channels = _members(edit, "channels")
        places = tuple(_place(layer, place, "edit") for place in _members(edit, "places"))
        numbers = tuple(_number(channel, layer["shape"][0], "edit") for channel in channels)
        if not places and not numbers:
            raise RefusedValueError("view.edit: names nothing; None for no edit")
        return {"layer": edit["layer"], "places": places, "channels": numbers}

    @traitlets.observe("layer")
    def _leave_place(self, change: Any) -> None:
        """Forget a place that another layer does not have."""
        if self.place is None:
            return
        try:
            self.place = self._place_in_layer({"value": self.place})
        except InputError:
            self.place = None

    def _layer_called(self, name: Any, value: str) -> Mapping[str, Any]:
        if not isinstance(name, str) or name not in self._layers:
            raise RefusedValueError(
                f"view.{value}: no layer {shown(name)}, expected one of {', '.join(self._layers)}"
            )
        return self._layers[name]


def _members(edit: Mapping[str, Any], name: str) -> Sequence[Any]:
    members = edit.get(name, ())
    if not isinstance(members, (list, tuple, range)):
        raise RefusedValueError(f"view.edit: {name} is {shown(members)}, expected a list")
    return members


def _place(layer: Mapping[str, Any], place: Any, value: str) -> tuple[int, ...]:
    _, height, width = layer["shape"]
    names, sides = ("(neuron,)", (height,)) if layer["band"] else ("(row, column)", (height, width))
    if not isinstance(place, (list, tuple)) or len(place) != len(sides):
        wrong = f"{len(place)} of them" if isinstance(place, (list, tuple)) else shown(place)
        raise RefusedValueError(f"view.{value}: got {wrong}, expected {names}")
    return tuple(_number(at, side, value) for at, side in zip(place, sides, strict=True))


def _number(number: Any, count: int, value: str) -> int:
    if not is_whole(number) or not 0 <= number < count:
        raise RefusedValueError(f"view.{value}: got {shown(number)}, expected 0 to {count - 1}")
    return int(number)


@checked_arguments
def view(
    run: str | PathLike[str],
    *,
    network: Network | Checkpoint | str | PathLike[str] | None = None,
    limit: int = LIMIT,
) -> View:
    """The page of a run as a widget of Jupyter: its choices are values of Python.

    The page is that of :func:`report`. It runs in a frame that reaches nothing outside of itself,
    and what comes from there is checked: a layer, a place, a step and an edit of this run.

    Parameters
    ----------
    run : the folder of a run, or a raster file
    network : import of the model that was recorded; needed where the run does not say which network
        fired it
    limit : bytes that the samples may take

    Returns
    -------
    View : with `layer`, `place`, `step` and `edit`, which the page and Python set

    Raises
    ------
    InputError : if there is no raster, or it is damaged
    ImportError : without anywidget: `pip install 'spikesam[notebook]'`

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> path = spikesam.write_raster(
    ...     "v.h5", {"conv1": np.ones((1, 9, 1, 4, 16), bool)}, overwrite=True
    ... )
    >>> view = spikesam.view(path)
    >>> view.layer, view.step = "conv1", 7
    >>> view.place = (3, 12)
    >>> view
    <View: layer conv1, place (3, 12), step 7>
    """
    if limit < 1:
        raise InputError(f"limit: got {limit}, expected a number of bytes ≥ 1")
    with ExitStack() as resources:
        opened = open_run(Path(run), resources, network)
        content = run_content(opened, limit)
        page = page_html(opened.title, {"kinds": kinds_of([opened]), "runs": [content]})
    return View(page, content)
