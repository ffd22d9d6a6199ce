"""The page in a real browser: its maps are the project's, its controls do what they say, and it is
accessible.
"""

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from spikesam.backends.network import LIF, Conv, Input, Layer, Network, Readout
from spikesam.backends.network.storage import read_network
from spikesam.pipeline.images.pictures import Pictures, Seen, write_pictures
from spikesam.pipeline.maps.relevance import relevance
from spikesam.pipeline.maps.sam import spike_activation_maps, spike_count_map
from spikesam.pipeline.page._content import spike_trains
from spikesam.pipeline.page.write import report
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.page.conftest import HOSTILE

FRAMES = """new Promise((done) => {  // what was asked for is computed, and shown
    const busy = () => "busy" in document.documentElement.dataset;
    const look = () => busy() ? requestAnimationFrame(look) : setTimeout(done, 60);
    requestAnimationFrame(() => requestAnimationFrame(look));
})"""


def page_of(*runs: str) -> Any:
    """A fixture: the page of these runs, which are fixtures, too."""

    @pytest.fixture(scope="module")
    def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return report(
            [request.getfixturevalue(run) for run in runs],
            tmp_path_factory.mktemp("page") / "page.html",
        )

    return page


page_of_run, page_of_spikes, page_of_recorded = map(
    page_of, ("finished", "spikes_alone", "recorded")
)
page_of_two = page_of("finished", "spikes_alone")


def shown_map(
    page: Any, run: int, layer: str, sample: int, kind: str = "sam", **state: object
) -> np.ndarray:
    """What the page computes."""
    script = """async ([run, layer, sample, state, kind]) => {
        const heat = await report.map(run, layer, sample, state, kind);
        return [[...heat.map], heat.shape];
    }"""
    values, shape = page.evaluate(script, [run, layer, sample, state, kind])
    return np.array(values).reshape(shape)


def change(page: Any, **state: object) -> None:
    """Set fields of the state, and wait until that is seen."""
    page.evaluate("(state) => report.change(state)", state)
    page.evaluate(FRAMES)


def canvas_of(page: Any, layer: str, kind: str = "sam", run: int = 0) -> Any:
    return page.locator(
        f'.run:nth-of-type({run + 1}) canvas[data-layer="{layer}"][data-kind="{kind}"]'
    )


def picture(page: Any, layer: str, kind: str = "sam", run: int = 0) -> str:
    """The pixels of a canvas."""
    return canvas_of(page, layer, kind, run).evaluate("canvas => canvas.toDataURL()")


def seen(canvas: Any, row: int, column: int, shape: tuple[int, int]) -> list[int]:
    """Red, green and blue in the middle of a cell of a map."""
    script = """(canvas, [x, y]) => {
        const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
        pixel.drawImage(canvas, -Math.floor(x * canvas.width), -Math.floor(y * canvas.height));
        return [...pixel.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    }"""
    return list(canvas.evaluate(script, [(column + 0.5) / shape[1], (row + 0.5) / shape[0]]))


@pytest.mark.short
def test_maps_are_those_of_the_file(finished: Path, page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    with MapReader(finished / "sam.h5") as maps:
        for name in maps:
            for sample in (0, 3):
                expected, expected_sum = maps[name][sample], maps.read_sum(maps.layer(name), sample)
                matter = maps[name].steps_that_matter
                assert np.abs(shown_map(page, 0, name, sample) - expected_sum).max() < 1e-5 * matter
                for step in range(matter):
                    found = shown_map(page, 0, name, sample, view="step", step=step)
                    assert np.abs(found - expected[step]).max() < 1e-5


INHERITED = (
    "__proto__",
    "toString",
    "constructor",
    "hasOwnProperty",
)  # what every object of JavaScript has


def test_layers_with_names_of_javascript(tmp_path: Path, open_page: Any) -> None:
    random = np.random.default_rng(0)
    layers = [
        Layer(name, Input(Conv(random.normal(size=(2, 2, 3, 3)), padding=1)), LIF(0.9, 0.5))
        for name in INHERITED
    ]
    network = Network((2, 5, 5), 8, layers, Readout(random.normal(size=(3, 50))), "spikes")
    whole, alone = tmp_path / "whole", tmp_path / "alone"
    with spikesam.simulate(network, random.random((8, 2, 2, 5, 5)) < 0.4, out=whole) as raster:
        some = {name: raster[name][:].swapaxes(0, 1) for name in INHERITED[:2]}
        counts = {
            name: spike_count_map(raster.packed(raster.layer(name), 0), (2, 5, 5))
            for name in INHERITED
        }
    write_raster(alone / "raster.h5", some)
    page = open_page(report([whole, alone], tmp_path / "page.html"))
    change(page, kind="relevance")
    for name in INHERITED:
        assert np.array_equal(
            shown_map(page, 0, name, 0, "count"),
            counts[name][: 8 - 3 + INHERITED.index(name)].sum(0),
        )
        assert canvas_of(page, name, "relevance").is_visible()
    assert "What it costs" in page.locator(".tables").first.inner_text()
    assert shown_map(page, 1, "toString", 0).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", {"gamma": 2.5}),
        ("step", {"view": "step", "step": 3}),
        ("sample", {"sample": 2}),
        ("scale", {"scale": "all"}),
        ("opacity", {"opacity": 0.1}),
        ("behind", {"behind": "input"}),
        ("pixel", {"pixel": {"run": 0, "layer": "conv1", "x": 0.9, "y": 0.9}}),
    ],
)
def test_what_changes_the_map(
    name: str, value: dict[str, object], page_of_run: Path, open_page: Any
) -> None:
    page = open_page(page_of_run)
    change(page, beside="count")
    before, count = picture(page, "conv1"), picture(page, "conv1", "count")
    change(page, **value)
    assert picture(page, "conv1") != before
    assert (picture(page, "conv1", "count") == count) == (name == "gamma")  # a count has no γ


def test_controls_by_mouse_and_keyboard(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    assert page.title().endswith("run") and "</script>" not in page.inner_text("h1")
    answers = page.locator(".gallery .verdict").all_inner_texts()
    assert all(
        any(answer.startswith(name) for name in HOSTILE) for answer in answers
    )  # names are text
    assert page.locator("script").count() == 2
    assert page.locator("img:not(.graph), i, main b").count() == 0
    page.locator("input[name=gamma]").press("ArrowRight")
    assert page.evaluate("report.state().gamma") == pytest.approx(0.51)
    page.get_by_role("tab", name="count").click()
    canvas_of(page, "conv1", "count").wait_for()
    assert page.locator("input[name=gamma]").is_hidden()
    page.select_option("select[name=beside]", "sam")
    canvas_of(page, "conv1").wait_for()
    assert page.locator("canvas[data-kind]:visible").count() == 6
    page.get_by_text("⋯ view").click()
    page.select_option("select[name=scale]", "all")
    page.evaluate(FRAMES)
    captions = page.locator("figure:has(canvas[data-kind=sam]) figcaption").all_inner_texts()
    assert len(set(captions)) == 1
    page.locator(".gallery button").nth(1).click()
    page.locator(".gallery button").nth(1).and_(page.locator("[aria-pressed=true]")).wait_for()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("n")
    page.keyboard.press("s")
    assert page.evaluate("[report.state().sample, report.state().view]") == [2, "step"]


def test_the_scrubber_has_every_step_and_the_sum_at_its_end(
    page_of_run: Path, open_page: Any
) -> None:
    page = open_page(page_of_run)
    when, slider = page.locator(".when"), page.locator("input[name=step]")
    assert when.inner_text() == "sum of all steps that matter"
    slider.press("Home")
    when.get_by_text("step 0 of 0 … 7").wait_for()
    slider.press("End")
    when.get_by_text("sum of all").wait_for()
    area = page.locator(".track canvas").bounding_box()
    page.mouse.click(area["x"] + 2.5 * area["width"] / 8, area["y"] + 5)
    when.get_by_text("step 2 of").wait_for()
    page.get_by_role("button", name="play").click()
    page.locator('.when:not(:text-is("step 2 of 0 … 7"))').wait_for()
    page.locator(".sum").click()
    assert page.evaluate("[report.state().view, report.state().playing]") == ["sum", False]


def test_layers_without_places_are_neurons_over_time(tmp_path: Path, open_page: Any) -> None:
    """Of a sound, whose input is one column: each spike's own contribution and relevance, by number
    or activity.
    """
    random = np.random.default_rng(0)
    weights = random.normal(size=(20, 12)), random.normal(size=(7, 20))
    layers = [Layer(f"fc{at}", Input(each), LIF(0.9, 0.5)) for at, each in enumerate(weights, 1)]
    network = Network((1, 12, 1), 16, layers, Readout(random.normal(size=(3, 7))), "spikes")
    spikesam.simulate(
        network, random.random((16, 2, 1, 12, 1)) < 0.3, out=tmp_path, backend="event"
    )
    spikesam.explain(tmp_path, out=tmp_path / "sam.h5").close()
    page = open_page(report(tmp_path, tmp_path / "page.html"))
    assert (
        page.locator("canvas[data-kind]").count() == 0
        and page.locator("canvas[data-band]:visible").count() == 3
    )
    assert "Click a neuron to see when it fires, and to silence it" in page.inner_text(".says")
    network = read_network(tmp_path / "network.safetensors")[0]
    with RasterReader(tmp_path / "raster.h5") as raster:
        spikes = [raster[name][1] for name in raster]
        matter = [raster.steps_that_matter(layer) for layer in raster.layers]
        relevant = relevance(network, spikes, int(raster.predictions[1]))
    for name, fired, until, speaks in zip(
        ("input", "fc1", "fc2"), spikes, matter, relevant, strict=True
    ):
        rows = fired.reshape(16, -1).T.copy()
        ranked = np.argsort(-rows.sum(axis=1), kind="stable")
        scores = spike_activation_maps(np.packbits(rows.T, axis=1), (1, len(rows), 1), [0.5])[0][
            ..., 0
        ].T
        for found, expected in ("count", rows), ("sam", scores):
            expected = np.where(np.arange(16) < until, expected, 0)
            assert np.allclose(shown_map(page, 0, name, 1, found), expected, atol=1e-5)
            assert np.allclose(
                shown_map(page, 0, name, 1, found, order="activity"), expected[ranked], atol=1e-5
            )
        expected = speaks.reshape(16, -1).T
        assert (
            np.abs(shown_map(page, 0, name, 1, "relevance") - expected).max()
            <= np.abs(expected).max() / 253
        )
    with spikesam.explain(
        tmp_path, out=tmp_path / "relevance.h5", method="relevance", layers=["fc1"], steps="all"
    ) as maps:
        expected = maps["fc1"][1].sum(axis=(1, 2))
    moments = page.evaluate(
        "async () => [...(await report.map(0, 'fc1', 1, {}, 'relevance')).moments]"
    )
    assert np.allclose(moments, expected, rtol=6e-3) and np.any(moments)
    assert page.locator("canvas.rows:visible").count() == 3
    band = page.locator('canvas[data-layer="fc1"]').first
    for state in (
        {"kind": "energy"},
        {"sample": 1},
        {"order": "activity"},
        {"kind": "relevance"},
        {"target": "other"},
        {"view": "step", "step": 4},
    ):
        before = band.evaluate("canvas => canvas.toDataURL()")
        change(page, **state)
        assert band.evaluate("canvas => canvas.toDataURL()") != before, state
    band.click(position={"x": 3, "y": 3})  # the first row
    top = int(np.argsort(-spikes[1].sum(axis=(0, 2, 3)), kind="stable")[0])
    page.locator(".place h2").get_by_text(f"fc1 · neuron {top}", exact=True).wait_for()
    page.get_by_role("button", name="silence this neuron").click()
    page.locator(".edit [role=status]").get_by_text(f"fc1, neuron {top} silenced").wait_for()
    fired, sums, _ = page.evaluate(WHAT_IF, [1, page.evaluate("report.state().silenced")])
    edited = spikesam.edit(tmp_path, layer="fc1", channels=top, samples=[1])
    assert sums == edited.after.readout[0].tolist()
    assert (
        fired[1]
        == spike_trains(edited.raster.packed(edited.raster.layers[1], 0), 20).ravel().tolist()
    )


def test_relevance_for_any_class(finished: Path, page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    network = read_network(finished / "network.safetensors")[0]
    with RasterReader(finished / "raster.h5") as raster:
        spikes, predicted = [raster[name][0] for name in raster], int(raster.predictions[0])
    expected = relevance(network, spikes, predicted)[1].sum(axis=(0, 1))
    assert expected.min() < 0 < expected.max()
    for state in {}, {"view": "step", "step": 2}:  # the sum, whatever step is shown
        found = shown_map(page, 0, "conv1", 0, "relevance", **state)
        assert np.abs(found - expected).max() <= np.abs(expected).max() / 253
    page.get_by_role("tab", name="relevance").click()
    page.evaluate(FRAMES)
    options = page.locator("select[name=target] option")
    assert (
        options.count() == 3 and options.first.inner_text() == f"{HOSTILE[predicted]} (the answer)"
    )
    change(page, behind="nothing")
    before = picture(page, "conv1", "relevance")
    place = np.unravel_index([expected.argmax(), expected.argmin()], expected.shape)
    for row, column, speaks_for in zip(*place, (True, False), strict=True):
        red, green, _ = seen(canvas_of(page, "conv1", "relevance"), row, column, expected.shape)
        assert (green > red) == speaks_for
    page.select_option("select[name=target]", index=2)
    page.evaluate(FRAMES)
    assert picture(page, "conv1", "relevance") != before
    third = relevance(network, spikes, page.evaluate("report.runs[0].samples[0].classes[2]"))[
        1
    ].sum(axis=(0, 1))
    assert np.allclose(shown_map(page, 0, "conv1", 0, "relevance"), third)
    change(page, silenced={"layer": "input", "cells": [], "channels": [0], "before": None})
    assert picture(page, "conv1", "relevance") != before  # of the edited run
    assert page.locator("select[name=target]").input_value() == page.evaluate(
        "`${report.state().target}`"
    )


WHAT_IF = """async ([sample, silenced]) => {
    const { spikes, whatIf } = await report.whatIf(0, sample, silenced);
    return [spikes.map(({ trains }) => [...trains]), [...whatIf.sums], whatIf.scores];
}"""


def test_a_recording_of_a_model_is_simulated_or_refused_in_a_line(
    tmp_path: Path, open_page: Any
) -> None:
    """In float32, and its network given later; a sample that the page's numbers do not give stays
    as it is.
    """
    random = np.random.default_rng(0)
    layers = [
        Layer(f"conv{n}", Input(Conv(random.normal(size=(2, 2, 3, 3)), padding=1)), LIF(0.9, 0.5))
        for n in (1, 2)
    ]
    network = Network((2, 5, 5), 8, layers, Readout(random.normal(size=(3, 50))), "spikes")
    raster = spikesam.simulate(
        network, random.random((8, 2, 2, 5, 5)) < 0.4, precision="float32", backend="event"
    )
    spikes = {name: raster[name][:].swapaxes(0, 1) for name in raster}
    path = write_raster(tmp_path / "raster.h5", spikes, layer_delay=1)
    page_path = report(path, tmp_path / "page.html", network=network)
    page, refusing = open_page(page_path), open_page(page_path)
    fired, sums, shares = page.evaluate(
        WHAT_IF, [1, {"layer": "conv1", "cells": [7], "channels": [0]}]
    )
    mask = np.zeros((2, 5, 5), np.bool_)
    mask[:, 1, 2] = mask[0] = True
    expected = spikesam.edit(raster, network, "conv1", mask, samples=[1])
    assert np.allclose(sums, expected.after.readout[0], rtol=1e-5, atol=1e-5)
    assert np.allclose(shares, expected.after.shares[0], atol=1e-5)
    for layer, trains in zip(raster.layers, fired, strict=True):
        assert (
            trains == spike_trains(expected.raster.packed(layer, 0), layer.neurons).ravel().tolist()
        )
    refusing.evaluate("report.runs[0].integers.layers[1].kept.fill(0)")
    for each, said in (
        (page, "conv1, row 2, column 2 silenced"),
        (refusing, "Not simulated: in 64 bits, other spikes"),
    ):
        canvas_of(each, "conv1").focus()
        canvas_of(each, "conv1").press("Enter")
        each.locator(".edit [role=status]").get_by_text(said).wait_for()
        assert ("after your edit" in each.inner_text(".answer strong")) == (each is page)
        each.get_by_role("button", name="undo", exact=True).click()
        each.locator(".edit").wait_for(state="hidden")


@pytest.fixture(scope="module")
def page_of_long_computations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a network that a browser simulates and explains in seconds; its last layer has no
    places.
    """
    folder, random = tmp_path_factory.mktemp("long"), np.random.default_rng(0)
    convolutions = [
        Conv(random.normal(size=(64, channels, 3, 3)), padding=1) for channels in (2, 64, 64)
    ]
    layers = [Layer(f"conv{n}", Input(conv), LIF(0.9, 4.0)) for n, conv in enumerate(convolutions)]
    layers.append(Layer("fc", Input(random.normal(size=(9, 64 * 1024))), LIF(0.9, 4.0)))
    network = Network((2, 32, 32), 60, layers, Readout(random.normal(size=(3, 9))), "spikes")
    spikes = random.random((60, 1, 2, 32, 32)) < 0.4
    spikesam.simulate(network, spikes, out=folder / "run", backend="event").close()
    return report(folder / "run", folder / "page.html")


BLANK = """(canvas) => {
    const { width, height } = canvas;
    const blank = Object.assign(document.createElement("canvas"), { width, height });
    return canvas.toDataURL() === blank.toDataURL();
}"""


@pytest.mark.parametrize("what", ["edit", "relevance"])
def test_a_long_computation_is_told_of_and_can_be_stopped(
    what: str, page_of_long_computations: Path, open_page: Any
) -> None:
    page = open_page(page_of_long_computations)
    bars = page.locator("canvas.rows:visible")
    assert not bars.evaluate(BLANK)
    silenced = {"layer": "conv0", "cells": [5], "channels": [], "before": None}
    asked = {"silenced": silenced} if what == "edit" else {"kind": "relevance"}
    stop = page.get_by_role("button", name="stop", exact=True)
    page.evaluate("(state) => report.change(state)", asked)
    stop.wait_for()
    begun = time.monotonic()
    page.evaluate("report.state()")  # the page goes on meanwhile
    assert time.monotonic() - begun < 1
    if what == "relevance":
        assert page.locator("figcaption:visible").first.inner_text() == "being computed …"
        assert bars.evaluate(BLANK)  # those of the map before
    stop.click()
    stop.wait_for(state="hidden")
    page.evaluate(FRAMES)
    assert page.evaluate("[report.state().kind, report.state().silenced]") == ["sam", None]
    assert not bars.evaluate(BLANK)
    change(page, **asked)  # again, to its end
    assert stop.is_hidden()
    if what == "edit":
        assert "after your edit" in page.inner_text(".answer strong")
    else:
        assert page.locator("figcaption:visible").first.inner_text().startswith("±")


def test_a_page_computes_by_itself_where_no_worker_may_begin(
    finished: Path, tmp_path: Path, open_page: Any
) -> None:
    """Also in a frame that a notebook shows, from which nothing is reached."""
    page = report(finished, tmp_path / "page.html")
    framed, refusing = tmp_path / "framed.html", tmp_path / "refusing.html"
    framed.write_text(f"<html data-shown>{page._repr_html_()}")
    refusing.write_text(page.read_text().replace("worker-src blob:", "worker-src 'none'"))
    opened = open_page(refusing, quiet=False)
    change(opened, kind="relevance")
    assert opened.locator("figcaption:visible").first.inner_text().startswith("±")
    (_, frame) = open_page(framed).frames
    frame.wait_for_selector("html[data-shown]", state="attached")
    change(frame, kind="relevance")
    assert frame.locator("figcaption:visible").first.inner_text().startswith("±")


def test_a_place_is_chosen_and_silenced_and_that_is_undone(
    page_of_run: Path, open_page: Any
) -> None:
    page = open_page(page_of_run)
    before, behind, said = (
        picture(page, "input"),
        picture(page, "conv2"),
        page.locator(".edit [role=status]"),
    )
    canvas, title = canvas_of(page, "conv1"), page.locator(".place h2")
    canvas.click(position={"x": 2, "y": 2})
    title.get_by_text("conv1 · row 0, column 0").wait_for()
    canvas.focus()
    keys = ["ArrowRight", "ArrowDown", "ArrowDown"]  # within a frame
    canvas.evaluate(
        "(it, keys) => keys.forEach(key => it.dispatchEvent(new KeyboardEvent('keydown', {key})))",
        keys,
    )
    title.get_by_text("conv1 · row 2, column 1").wait_for()
    page.get_by_role("button", name="silence this place").click()
    said.get_by_text("conv1, row 2, column 1 silenced").wait_for()
    page.select_option("select[name=channel]", "2")
    said.get_by_text("conv1: 1 place and channel 2 silenced").wait_for()
    assert " after your edit" in page.inner_text(".answer strong")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    title.wait_for(state="hidden")
    assert picture(page, "input") == before and picture(page, "conv2") != behind
    page.get_by_role("button", name="undo", exact=True).click()
    said.get_by_text("conv1, row 2, column 1 silenced").wait_for()
    page.get_by_role("button", name="undo", exact=True).click()
    said.wait_for(state="hidden")
    assert picture(page, "conv2") == behind
    area = canvas.bounding_box()  # drawn over, the first row
    page.mouse.move(area["x"] + 1, area["y"] + 1)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] - 1, area["y"] + 1, steps=60)
    page.mouse.up()
    said.get_by_text("conv1: 24 places silenced").wait_for()
    assert sorted(page.evaluate("report.state().silenced.cells")) == [*range(24)]
    canvas.focus()
    canvas.press("Enter")  # the middle, where no place was chosen
    assert page.evaluate("report.state().silenced.cells.at(-1)") == 8 * 24 + 12
    page.get_by_role("button", name="undo all").click()
    assert page.evaluate("report.state().silenced") is None


def test_only_wrong_answers_are_shown_when_asked(tmp_path: Path, open_page: Any) -> None:
    spikes = {"a": np.ones((6, 4, 1, 2, 2), bool)}
    answers = {"predictions": [0, 1, 2, 0, 1, 2], "labels": [0, 0, 2, 0, 2, -1]}
    path = write_raster(tmp_path / "raster.h5", spikes, **answers)
    page = open_page(report(path))
    box = page.get_by_label("only wrong answers (2 of 6)")
    box.check()
    page.evaluate(FRAMES)
    assert page.locator(".gallery button:visible").count() == 2
    page.evaluate("document.activeElement.blur()")
    for sample in (1, 4, 1):
        assert page.evaluate("report.state().sample") == sample
        page.keyboard.press("n")
    box.uncheck()
    page.evaluate(FRAMES)
    assert page.locator(".gallery button:visible").count() == 6


def test_curves_have_a_legend_where_there_is_room(page_of_run: Path, open_page: Any) -> None:
    assert open_page(page_of_run).get_by_text("Coloured curves: how often each").is_visible()
    assert open_page(page_of_run, 400).get_by_text("Coloured curves").is_hidden()


def test_layers_of_a_model_are_in_its_own_steps_with_its_network_and_without(
    tmp_path: Path, open_page: Any
) -> None:
    """The network has a step of delay between layers, and the model none."""
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    torch.manual_seed(0)
    neuron = {"beta": 0.9, "threshold": 0.3, "init_hidden": True}
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        snntorch.Leaky(**neuron),
        torch.nn.Flatten(),
        torch.nn.Linear(100, 3),
        snntorch.Leaky(**neuron),
    ).eval()
    images = (torch.rand(6, 2, 1, 5, 5) < 0.5).float()
    network = spikesam.from_torch(model, images)
    importlib.import_module("snntorch.utils").reset(model)
    with torch.no_grad(), spikesam.record(model, tmp_path / "run", network=network) as recording:
        recording.finish(torch.stack([model(step) for step in images]))
    raster = recording.raster
    windows = {layer.name: raster.header.window_of(layer) for layer in raster.layers}
    alone = {name: raster[name][:][window].swapaxes(0, 1) for name, window in windows.items()}
    path = write_raster(tmp_path / "alone.h5", alone)
    page = open_page(report([tmp_path / "run", path], tmp_path / "page.html"))
    assert page.evaluate("report.runs.map(({ steps }) => steps)") == [6, 6]
    for name in alone:
        for step in range(6):
            maps = [
                shown_map(page, run, name, 1, "count", view="step", step=step) for run in (0, 1)
            ]
            assert maps[0].ravel().tolist() == maps[1].ravel().tolist()
    spikes = [raster[name][1] for name in raster]
    predicted = int(raster.predictions[1])
    for name, of_layer in zip(alone, relevance(network, spikes, predicted), strict=True):
        found = shown_map(page, 0, name, 1, "relevance")
        expected = of_layer.sum(axis=(0, 1))
        if of_layer.shape[-1] == 1:
            expected = of_layer[windows[name]].reshape(6, -1).T
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)
    first = next(iter(alone))
    mask = np.zeros((1, 5, 5), np.bool_)
    mask[0, 1, 2] = True
    edited = spikesam.edit(raster, network, first, mask, samples=[1])
    fired, sums, _ = page.evaluate(WHAT_IF, [1, {"layer": first, "cells": [7], "channels": []}])
    assert np.allclose(sums, edited.after.readout[0], rtol=1e-5, atol=1e-5)
    for layer, trains in zip(edited.raster.layers, fired, strict=True):
        window = edited.raster.header.window_of(layer)
        packed = edited.raster.packed(layer, 0)[window]
        assert trains == spike_trains(packed, layer.neurons).ravel().tolist()


def test_nothing_is_silenced_without_the_network(page_of_spikes: Path, open_page: Any) -> None:
    page = open_page(page_of_spikes)
    canvas_of(page, "a").click()
    page.get_by_text("Nothing can be silenced here without the network").wait_for()
    assert page.locator(".buttons").is_hidden()


def test_a_recorded_network_has_images_names_and_bars(
    page_of_recorded: Path, open_page: Any
) -> None:
    page = open_page(page_of_recorded)
    assert page.locator(".gallery canvas").count() == 6
    assert page.locator(".gallery .verdict").first.inner_text().endswith(("✓", "is cat (0)"))
    assert page.locator("[role=tab]").all_inner_texts() == [
        "SAM",
        "count",
    ]  # nothing is known of its weights
    assert page.locator(".scores li").count() > 1


def test_relevance_of_an_image_lies_over_it(tmp_path: Path, open_page: Any) -> None:
    """The left pixel drives the spikes, the right one holds them back."""
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    linear = torch.nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([[3.0, -1.0]])
    neurons = snntorch.Leaky(0.5, init_hidden=True)
    model = torch.nn.Sequential(torch.nn.Flatten(), linear, neurons).eval()
    image = torch.ones(1, 1, 1, 2)
    with torch.enable_grad(), spikesam.record(model, tmp_path, why=0) as recording:
        recording.finish(torch.stack([model(image) for _ in range(3)]), images=image)
    page = open_page(spikesam.report(tmp_path))
    canvas = page.locator(".answer canvas")
    assert "as the network saw it" in canvas.get_attribute("aria-label")
    page.get_by_role("tab", name="relevance").click()
    page.evaluate(FRAMES)
    assert "relevance" in canvas.get_attribute("aria-label")
    change(page, opacity=1)
    left, right = (seen(canvas, 0, column, (1, 2)) for column in (0, 1))
    assert left[1] > left[0] and right[0] > right[1]


def test_a_token_and_whom_it_attends_to(tmp_path: Path, open_page: Any) -> None:
    random = np.random.default_rng(0)
    spikes = {
        name: random.random((1, 4, 6, 3, 4)) < 0.4 for name in ("block_0_q_lif", "block_0_k_lif")
    }
    path = write_raster(tmp_path / "raster.h5", spikes)
    page = open_page(report(path, tmp_path / "page.html"))
    page.get_by_role("tab", name="attention").click()
    with RasterReader(path) as raster:
        names = {"query": "block_0_q_lif", "key": "block_0_k_lif"}
        whole, step = (spikesam.attention_map(raster, **names, step=step)[0] for step in (None, 2))
        token = spikesam.attention_map(raster, **names, token=(1, 3))[0]
    assert np.array_equal(shown_map(page, 0, names["key"], 0, "attention"), whole)
    assert np.array_equal(
        shown_map(page, 0, names["key"], 0, "attention", view="step", step=2), step
    )
    canvas = canvas_of(page, names["key"], "attention")
    area = canvas.bounding_box()
    canvas.click(position={"x": 3.5 * area["width"] / 4, "y": area["height"] / 2})
    page.get_by_text(f"whom it attends to, all steps: 0 … {token.max()}").wait_for()
    assert np.array_equal(shown_map(page, 0, names["key"], 0, "attention"), token)
    assert page.locator(".heads canvas").count() == 1


def test_events_are_shown_step_by_step_in_colour(events: Path, open_page: Any) -> None:
    page = open_page(events / "report.html")
    with RasterReader(events / "raster.h5") as raster:
        arrived = raster["input"][0]
    view, step = page.evaluate("[report.state().view, report.state().step]")
    assert view == "step" and arrived[step].sum() >= np.median(arrived.sum(axis=(1, 2, 3)))
    for row, column in np.argwhere(arrived[step].any(axis=0))[:5]:
        off, on = arrived[step][:, row, column]
        red, _, blue = seen(page.locator(".answer canvas"), row, column, arrived.shape[2:])
        assert (off and on) or (red > blue) == on


def test_most_events_in_one_step_are_told_of(tmp_path: Path, open_page: Any) -> None:
    """Of 5 events 4 lie in step 6, with which the page begins."""
    spikes = np.zeros((1, 9, 2, 4, 4), bool)
    spikes[0, 6, 0, :, 1] = spikes[0, 2, 1, 3, 3] = True
    path = write_raster(
        tmp_path / "raster.h5", {"input": spikes, "conv1": spikes[:, :, :1, ::2, ::2]}
    )
    with RasterReader(path) as raster:
        write_pictures(tmp_path, raster.raster_digest, Pictures((Seen("a"),), events=True))
    page = open_page(report(tmp_path))
    assert page.evaluate("[report.state().view, report.state().step]") == ["step", 6]
    assert "80 % of its events lie in step 6" in page.inner_text(".answer")


def test_a_border_that_padding_lights_up_is_hatched(tmp_path: Path, open_page: Any) -> None:
    """The first row fires at every step, the others once; which rows see padding, only a network
    would tell.
    """
    spikes = np.zeros((1, 6, 1, 8, 8), bool)
    spikes[0, :, 0, 0] = spikes[0, 1] = True
    page = open_page(
        report(write_raster(tmp_path / "raster.h5", {"conv1": spikes}), tmp_path / "page.html")
    )
    change(page, kind="count")
    plain = picture(page, "conv1", "count")
    for row, hatched in (7, False), (0, True):
        page.evaluate(
            "row => { report.runs[0].layers[0].padded = { rows: [row], columns: [] } }", row
        )
        change(page, scale="all" if hatched else "layer", behind="nothing", opacity=row / 10)
        assert (picture(page, "conv1", "count") != plain) == hatched


def test_many_layers_are_a_list_of_blocks_and_a_band_is_as_high_as_a_map(
    tmp_path: Path, open_page: Any
) -> None:
    random = np.random.default_rng(0)
    names = [
        f"layer{stage}_{block}_conv{n}"
        for stage in (1, 2, 3)
        for block in (0, 1)
        for n in (1, 2, 3)
    ]
    spikes = {name: random.random((1, 6, 2, 5, 5)) < 0.2 for name in ("stem", *names)}
    path = write_raster(
        tmp_path / "many.h5", spikes | {"fc": random.random((1, 6, 1536, 1, 1)) < 0.1}
    )
    page = open_page(report(path))
    blocks = page.locator(".block")
    assert blocks.count() == 8 and page.locator(".block.folded").count() == 8
    assert blocks.nth(1).locator("canvas[data-kind]").count() == 3
    small = canvas_of_any(page, "layer1_0_conv2").bounding_box()
    assert small["height"] < 60 and canvas_of_any(page, "fc").bounding_box()["height"] < 70
    page.get_by_role("button", name="layer1_0 3 layers").click()
    page.locator(".block.folded").nth(6).wait_for()
    opened = canvas_of_any(page, "layer1_0_conv2").bounding_box()
    assert page.locator(".block.folded").count() == 7 and opened["height"] > 140
    page.get_by_role("button", name="open all blocks").click()
    page.get_by_role("button", name="fold all blocks").wait_for()
    band = canvas_of_any(page, "fc").bounding_box()
    assert abs(band["height"] - opened["height"]) < 2
    page.get_by_role("button", name="enlarge fc").click()
    page.get_by_role("button", name="shrink fc").wait_for()
    assert canvas_of_any(page, "fc").bounding_box()["height"] == 1536
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="enlarge fc").wait_for()
    page.get_by_role("button", name="fold all blocks").click()
    page.locator(".block.folded").nth(7).wait_for()


def test_a_layer_is_enlarged_at_the_right_of_the_first_line_of_its_name(
    tmp_path: Path, open_page: Any
) -> None:
    names = ("lif", "encoder_stages_1_blocks_2_attention_projection_lif")
    spikes = np.random.default_rng(0).random((1, 6, 2, 5, 5)) < 0.2
    page = open_page(report(write_raster(tmp_path / "raster.h5", dict.fromkeys(names, spikes))))
    for name, lines in zip(names, (1, 2), strict=True):
        card = page.locator(".card").filter(has=canvas_of_any(page, name))
        button = card.get_by_role("button").bounding_box()
        title, text = (card.locator(part).bounding_box() for part in ("h3", "h3 span"))
        assert (text["height"] > 25) == (lines > 1)
        assert text["x"] + text["width"] <= button["x"]
        assert abs(button["x"] + button["width"] - title["x"] - title["width"]) < 1
        assert abs(button["y"] + button["height"] / 2 - text["y"] - 8.5) < 3


def canvas_of_any(page: Any, layer: str) -> Any:
    return page.locator(f'canvas[data-layer="{layer}"]').first


def test_theme_follows_the_system_or_the_reader(page_of_run: Path, open_page: Any) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = open_page(page_of_run), open_page(page_of_run, scheme="dark")
    assert light.evaluate(background) != dark.evaluate(background)
    change(light, theme="dark")
    assert light.evaluate(background) == dark.evaluate(background)
    change(dark, theme="light")
    assert light.evaluate(background) != dark.evaluate(background)


def test_two_runs_share_the_controls(page_of_two: Path, open_page: Any) -> None:
    page = open_page(page_of_two)
    assert page.locator(".run").count() == page.locator(".answer").count() == 2
    before = picture(page, "a", run=1)
    change(page, gamma=2.0)
    assert picture(page, "a", run=1) != before
    change(page, view="step", step=15)
    assert page.inner_text(".when") == "step 15 of 0 … 19"
    assert (
        page.locator(".run figcaption:visible").first.inner_text() == "too late to matter"
    )  # its last step is 7
    change(page, pixel={"run": 1, "layer": "a", "x": 0.5, "y": 0.5})
    assert page.inner_text(".place h2") == "a · row 2, column 3"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_and_nothing_hinders_readers(
    width: int,
    scheme: str,
    page_of_two: Path,
    page_of_run: Path,
    page_of_recorded: Path,
    open_page: Any,
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python"
    )
    for path in (page_of_run, page_of_two, page_of_recorded):
        page = open_page(path, width, scheme)
        canvas = page.locator("canvas[data-kind]").last
        canvas.click()
        page.locator(".place").wait_for()
        page.evaluate(FRAMES)
        sheet, shown = page.locator(".place").bounding_box(), canvas.bounding_box()
        assert width > 400 or (
            sheet["height"] <= 450 and shown["y"] + shown["height"] <= sheet["y"] + 1
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page).response["violations"]
        assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []
