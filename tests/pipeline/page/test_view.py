"""The page as a widget: its choices are values of Python, and nothing else comes from it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spikesam
from spikesam.pipeline.page.write import HERE

pytest.importorskip("anywidget", reason="needs the extra notebook")
from spikesam.pipeline.page.view import View

# What anywidget hands to `render`: a model whose values Python has, too.
MODEL = """
const listeners = {};
window.values = %s;
window.saved = [];  // what Python is sent
window.model = {
    get: (name) => values[name],
    set: (name, value) => {
        const same = JSON.stringify(values[name]) === JSON.stringify(value);
        values[name] = value;
        if (!same) for (const listener of listeners[`change:${name}`] ?? []) listener();
    },
    on: (event, listener) => (listeners[event] ??= []).push(listener),
    off: (event, listener) => {
        listeners[event] = listeners[event].filter((other) => other !== listener);
    },
    save_changes: () => { saved.push({ ...values }); },
};
window.leave = widget.render({ model, el: document.body });
document.documentElement.dataset.shown = "";
"""
NOTHING = {"layer": None, "place": None, "step": None, "edit": None}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view") / "run"
    spikesam.simulate("cluttered-digits", samples=1, out=folder).close()
    return folder


@pytest.fixture
def view(run: Path) -> View:
    return spikesam.view(run)


def values_of(view: View) -> dict[str, Any]:
    return {name: getattr(view, name) for name in NOTHING}


def test_values_are_set_and_observed(view: View) -> None:
    changes: list[Any] = []
    view.observe(lambda change: changes.append(change["new"]), "place")
    assert values_of(view) == NOTHING
    view.layer, view.place, view.step = "conv2", [3, 12], 7
    view.edit = {"layer": "fc1", "places": [(5,)]}
    assert changes == [(3, 12)]
    assert (view.layer, view.place, view.step) == ("conv2", (3, 12), 7)
    assert view.edit == {"layer": "fc1", "places": ((5,),), "channels": ()}
    view.layer = "conv4"  # has a row 3, but no column 12
    assert view.place is None and repr(view) == "<View: layer conv4, place None, step 7>"


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("layer", "conv9", "view.layer: no layer 'conv9', expected one of input, conv1, conv2"),
        ("layer", 1, "view.layer: no layer 1, expected one of"),
        ("place", (20, 0), "view.place: got 20, expected 0 to 19"),
        ("place", (0, -1), "view.place: got -1, expected 0 to 19"),
        ("place", (0, 1.5), "view.place: got 1.5, expected 0 to 19"),
        ("place", 3, r"view.place: got 3, expected \(row, column\)"),
        ("place", {"row": 3}, r"view.place: got of type dict, expected \(row, column\)"),
        ("step", 16, "view.step: got 16, expected 0 to 15"),
        ("step", True, "view.step: got True, expected 0 to 15"),
        ("step", "<script>", "view.step: got '<script>', expected 0 to 15"),
        ("edit", "conv2", "view.edit is 'conv2', expected {\"layer\": name"),
        ("edit", {"places": [(0, 0)]}, 'view.edit is of type dict, expected {"layer": name'),
        ("edit", {"layer": "conv2", "rows": [1]}, "view.edit is of type dict, expected"),
        ("edit", {"layer": "conv2"}, "view.edit: names nothing; None for no edit"),
        ("edit", {"layer": "conv2", "places": 3}, "view.edit: places is 3, expected a list"),
        ("edit", {"layer": "conv2", "channels": [99]}, "view.edit: got 99, expected 0 to"),
    ],
)
def test_other_values_are_refused_in_one_line(name: str, value: Any, line: str, view: View) -> None:
    view.layer, view.place = "conv2", (1, 2)
    before = values_of(view)
    with pytest.raises(spikesam.InputError, match=line) as refused:
        setattr(view, name, value)
    assert "\n" not in str(refused.value) and values_of(view) == before
    with pytest.raises(spikesam.InputError, match=line):
        view.set_state({name: value})  # as a front end does
    assert values_of(view) == before


def test_a_place_of_one_number_and_values_that_a_view_lacks_are_refused(view: View) -> None:
    view.layer = "conv1"
    with pytest.raises(spikesam.InputError, match=r"view\.place: got 1 of them, expected \(row, c"):
        view.place = (1,)
    with pytest.raises(spikesam.InputError, match="view: has no stp, .* did you mean 'step'"):
        view.stp = 3
    with pytest.raises(spikesam.InputError, match="view: has no sample, expected one of layer, pl"):
        view.sample = 0


def test_a_place_needs_a_layer(view: View) -> None:
    with pytest.raises(spikesam.InputError, match="no layer is chosen; set view.layer before"):
        view.place = (0, 0)
    view.set_state({"place": [0, 1], "layer": "conv1"})  # in any order
    assert (view.layer, view.place) == ("conv1", (0, 1))


def test_a_front_end_sets_nothing_else(view: View) -> None:
    page, script = view._page, view._esm
    view.set_state({"_page": "x", "_esm": "x", "comm": None, "__class__": 1, "step": 4})
    assert (view._page, view._esm, view.step) == (page, script, 4)


def test_what_cannot_be_simulated_cannot_be_edited(recorded: Path) -> None:
    view = spikesam.view(recorded)
    with pytest.raises(spikesam.InputError, match=r"view\.edit: .*network"):
        view.edit = {"layer": next(iter(view._layers)), "places": [(0, 0)]}


def test_without_the_extra_one_line_says_what_to_install() -> None:
    script = "import sys; sys.modules['anywidget'] = None; import spikesam; spikesam.view"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    line = "ImportError: spikesam.view needs anywidget, which is not installed; "
    assert done.stderr.splitlines()[-1] == f"{line}pip install 'spikesam[notebook]'"


@pytest.fixture
def notebook(run: Path, open_page: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Open the widget in a page with a model of these values; the page, and the frame in it."""

    def opened(page: str = "", **values: Any) -> Any:
        values = {"_page": page or spikesam.view(run)._page, **NOTHING, **values}
        widget = (HERE / "js" / "widget.js").read_text().replace("export default", "const widget =")
        model = MODEL % json.dumps(values).replace("<", "\\u003c")
        path = tmp_path / "notebook.html"
        path.write_text(f"<!doctype html><body><script type=module>{widget}{model}</script>")
        notebook = open_page(path)
        frame = notebook.locator("iframe").element_handle().content_frame()
        return notebook, frame

    return opened


def wait_for(notebook: Any, **values: Any) -> None:
    """Wait until Python is sent these values."""
    script = """(wanted) => Object.entries(wanted).every(
        ([name, value]) => JSON.stringify(saved.at(-1)?.[name]) === JSON.stringify(value))"""
    notebook.wait_for_function(script, arg=values)


def test_a_click_on_the_page_sets_the_values(notebook: Any) -> None:
    host, frame = notebook()
    wait_for(host, **NOTHING)
    frame.wait_for_selector("html[data-shown]", state="attached")
    canvas = frame.locator('canvas[data-layer="conv2"][data-kind="sam"]')
    side = canvas.bounding_box()["width"]  # of 20 places
    canvas.click(position={"x": side * 12.5 / 20, "y": side * 3.5 / 20})
    wait_for(host, layer="conv2", place=[3, 12], step=None, edit=None)
    frame.get_by_role("button", name="silence this place").click()
    wait_for(host, edit={"layer": "conv2", "places": [[3, 12]], "channels": []})
    frame.locator("input[name=step]").press("Home")
    wait_for(host, step=0)
    frame.get_by_role("button", name="close").click()
    wait_for(host, layer=None, place=None)


def test_values_are_shown_on_the_page(notebook: Any) -> None:
    host, frame = notebook(layer="conv2", place=[3, 12], step=7)
    frame.locator("aside h2").get_by_text("conv2 · row 3, column 12").wait_for()
    wait_for(host, layer="conv2", place=[3, 12], step=7, edit=None)
    host.evaluate("""() => {
        model.set("layer", "fc1");
        model.set("place", [5]);
        model.set("step", null);
        model.set("edit", { layer: "conv1", places: [[0, 1]], channels: [2] });
    }""")
    frame.locator("aside h2").get_by_text("fc1 · neuron 5").wait_for()
    wait_for(host, layer="fc1", place=[5], step=None)
    assert frame.evaluate("report.state().silenced") == {
        "layer": "conv1", "cells": [1], "channels": [2], "before": None,
    }  # fmt: skip
    host.evaluate('() => { model.set("layer", "conv3"); }')  # which has no neurons
    wait_for(host, layer="conv3", place=None)
    assert frame.evaluate("report.state().large") == {"run": 0, "layer": "conv3"}


def test_a_page_sets_four_values_and_no_other_window_does(notebook: Any) -> None:
    hostile = """<script>
        parent.postMessage({ spikesam: "state", step: 3, _page: "x", get: 1, __proto__: {} }, "*");
        parent.postMessage({ step: 4 }, "*");
        try { parent.document.title = "x"; } catch { parent.postMessage("kept out", "*"); }
    </script>"""
    host, _ = notebook(hostile)
    wait_for(host, step=3)
    assert host.evaluate("values._page") == hostile and host.title() == ""
    assert host.evaluate("Object.keys(values).sort()") == sorted(["_page", *NOTHING])
    host.evaluate('() => postMessage({ spikesam: "state", step: 5 }, "*")')
    host.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert host.evaluate("[values.step, saved.length]") == [3, 1]


def test_the_page_alone_hears_and_says_nothing(run: Path, open_page: Any, tmp_path: Path) -> None:
    page = open_page(spikesam.report(run, tmp_path / "page.html"))
    page.evaluate("""() => {
        window.heard = [];
        addEventListener("message", ({ data }) => heard.push(data));
        postMessage({ spikesam: "set", step: 3 }, "*");
        return new Promise((done) => setTimeout(done, 200));
    }""")
    assert page.evaluate("heard") == [{"spikesam": "set", "step": 3}]
    assert page.evaluate("report.state().view") == "sum"


def test_a_widget_that_is_removed_hears_nothing(notebook: Any) -> None:
    host, frame = notebook()
    wait_for(host, **NOTHING)
    host.evaluate("() => leave()")
    frame.evaluate("report.change({ view: 'step', step: 3 })")
    host.evaluate("() => new Promise((done) => setTimeout(done, 200))")
    assert host.evaluate("values.step") is None
