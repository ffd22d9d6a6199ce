"""The page in a real browser: its maps are the project's, its controls do what they say, and it is accessible."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.backends.network.storage import read_network
from spikesam.pipeline.images.pictures import Pictures, Seen, write_pictures
from spikesam.pipeline.maps.relevance import relevance
from spikesam.pipeline.maps.sam import spike_activation_maps, spike_count_map
from spikesam.pipeline.page.content import spike_trains
from spikesam.pipeline.page.write import report
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.page.conftest import HOSTILE

FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60))))"


@pytest.fixture(scope="module")
def page_of_run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(finished, tmp_path_factory.mktemp("page") / "one.html")


@pytest.fixture(scope="module")
def page_of_two(finished: Path, spikes_alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report([finished, spikes_alone], tmp_path_factory.mktemp("page") / "two.html")


@pytest.fixture(scope="module")
def page_of_spikes(spikes_alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(spikes_alone, tmp_path_factory.mktemp("page") / "spikes.html")


@pytest.fixture(scope="module")
def page_of_recorded(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(recorded, tmp_path_factory.mktemp("page") / "recorded.html")


def shown_map(page: Any, run: int, layer: str, sample: int, kind: str = "sam", **state: object) -> np.ndarray:
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


def picture(page: Any, layer: str, kind: str = "sam", run: int = 0) -> str:
    """The pixels of a canvas."""
    selector = f'.run:nth-of-type({run + 1}) canvas[data-layer="{layer}"][data-kind="{kind}"]'
    return page.eval_on_selector(selector, "canvas => canvas.toDataURL()")


def cell(page: Any, layer: str, kind: str, row: int, column: int, shape: tuple[int, int]) -> list[int]:
    """Red, green and blue in the middle of a cell of a map."""
    return seen(page, f'canvas[data-layer="{layer}"][data-kind="{kind}"]', row, column, shape)


def seen(page: Any, selector: str, row: int, column: int, shape: tuple[int, int]) -> list[int]:
    script = """(canvas, [x, y]) => {
        const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
        pixel.drawImage(canvas, -Math.floor(x * canvas.width), -Math.floor(y * canvas.height));
        return [...pixel.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    }"""
    place = [(column + 0.5) / shape[1], (row + 0.5) / shape[0]]
    return list(page.eval_on_selector(selector, script, [float(each) for each in place]))


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


INHERITED = ("__proto__", "toString", "constructor", "hasOwnProperty")  # what every object of JavaScript has


def test_layers_with_names_of_javascript(tmp_path: Path, open_page: Any) -> None:
    random = np.random.default_rng(0)
    layers = [Layer(name, Input(random.normal(size=(2, 2, 3, 3)), padding=1), LIF(0.9, 0.5)) for name in INHERITED]
    network = Network((2, 5, 5), 8, layers, Readout(random.normal(size=(3, 50))), "spikes")
    whole, alone = tmp_path / "whole", tmp_path / "alone"
    with spikesam.simulate(network, random.random((8, 2, 2, 5, 5)) < 0.4, out=whole) as raster:
        some = {name: raster[name][:].swapaxes(0, 1) for name in INHERITED[:2]}
        counts = {name: spike_count_map(raster.packed(raster.layer(name), 0), (2, 5, 5)) for name in INHERITED}
    write_raster(alone / "raster.h5", some)
    page = open_page(report([whole, alone], tmp_path / "page.html"))
    for name in INHERITED:
        assert np.array_equal(
            shown_map(page, 0, name, 0, "count"), counts[name][: 8 - 3 + INHERITED.index(name)].sum(0)
        )
        assert page.locator(f'.run:nth-of-type(1) canvas[data-layer="{name}"][data-kind="relevance"]').is_visible()
    assert "What it costs" in page.inner_text(".run:nth-of-type(1)")
    assert shown_map(page, 1, "toString", 0).any()


@pytest.mark.parametrize("gamma", [0.0, 0.13, 2.9])
def test_maps_for_any_gamma_and_spike_counts(
    gamma: float, spikes_alone: Path, page_of_spikes: Path, open_page: Any
) -> None:
    page = open_page(page_of_spikes)
    with RasterReader(spikes_alone) as raster:
        packed, shape = raster.packed("a", 2), raster["a"].shape
    expected = spike_activation_maps(packed, shape, [gamma])[0]
    assert np.allclose(shown_map(page, 0, "a", 2, gamma=gamma), expected.sum(axis=0), rtol=1e-6, atol=1e-5)
    found = shown_map(page, 0, "a", 2, gamma=gamma, view="step", step=19)
    assert np.allclose(found, expected[19], rtol=1e-6, atol=1e-5)
    counts = spike_count_map(packed, shape)
    assert np.array_equal(shown_map(page, 0, "a", 2, "count"), counts.sum(axis=0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", {"gamma": 2.5}),
        ("step", {"view": "step", "step": 3}),
        ("sample", {"sample": 2}),
        ("scale", {"scale": "all"}),
        ("opacity", {"opacity": 0.1}),
        ("behind", {"behind": "input"}),
        ("pixel", {"pixel": {"layer": "conv1", "x": 0.9, "y": 0.9}}),
    ],
)
def test_what_changes_the_map(name: str, value: dict[str, object], page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    before, count = picture(page, "conv1"), picture(page, "conv1", "count")
    change(page, **value)
    assert picture(page, "conv1") != before
    assert (picture(page, "conv1", "count") == count) == (name == "gamma")  # a count has no γ


def test_controls_by_mouse_and_keyboard(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    assert page.input_value("select[name=view]") == "sum"
    answers = page.locator(".gallery .answer").all_inner_texts()
    assert all(any(answer.startswith(name) for name in HOSTILE) for answer in answers)  # names are text
    assert page.locator("script").count() == 2
    assert page.locator("img:not(.graph), i, b").count() == 0
    page.get_by_role("slider", name="γ").press("ArrowRight")
    assert page.evaluate("report.state().gamma") == pytest.approx(0.51)
    page.get_by_role("slider", name="step").press("Home")
    assert page.evaluate("[report.state().view, report.state().step]") == ["step", 0]
    page.get_by_role("heading", level=2).get_by_text("step 0 of 0 … 7").wait_for()
    page.get_by_role("checkbox", name="spike count").uncheck()
    page.locator("canvas[data-kind=count]").first.wait_for(state="hidden")
    page.get_by_role("checkbox", name="spike count").check()
    page.locator("canvas[data-kind=count]").last.wait_for()
    assert page.locator("canvas[data-kind=count]:visible").count() == 3
    page.select_option("select[name=view]", "sum")
    page.select_option("select[name=scale]", "all")
    page.evaluate(FRAMES)
    captions = page.locator("figure:has(canvas[data-kind=sam]) figcaption").all_inner_texts()
    assert len(set(captions)) == 1
    page.locator(".gallery button").nth(1).click()
    assert page.evaluate("report.state().sample") == 1
    page.locator(".gallery button").nth(1).and_(page.locator("[aria-pressed=true]")).wait_for()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("n")
    page.keyboard.press("s")
    assert page.evaluate("[report.state().sample, report.state().view]") == [2, "step"]


def test_play_goes_through_the_steps(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    begun = page.evaluate("report.state().step")
    page.get_by_role("button", name="play").click()
    page.wait_for_selector("button[name=playing][data-on=true]")
    deadline = 100
    while page.evaluate("report.state().step") == begun and deadline:
        page.wait_for_timeout(50)
        deadline -= 1
    assert page.evaluate("report.state().step") != begun
    page.get_by_role("button", name="stop").click()
    assert page.evaluate("report.state().playing") is False


def test_a_pixel_shows_its_spikes_and_scores(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    canvas = page.locator("canvas[data-layer=conv1][data-kind=sam]")
    canvas.hover(position={"x": 2, "y": 2})
    title = page.locator(".pixel h3")
    title.get_by_text("A pixel of conv1: row 0, column 0").wait_for()
    canvas.focus()
    canvas.press("ArrowRight")
    canvas.press("ArrowDown")
    title.get_by_text("A pixel of conv1: row 1, column 1").wait_for()
    keys = ["ArrowRight", "ArrowDown", "ArrowDown"]  # within a frame
    canvas.evaluate("(it, keys) => keys.forEach(key => it.dispatchEvent(new KeyboardEvent('keydown', {key})))", keys)
    title.get_by_text("A pixel of conv1: row 3, column 2").wait_for()


def test_a_page_that_moves_under_a_resting_pointer_chooses_nothing(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    canvas = page.locator("canvas[data-layer=conv1][data-kind=sam]")
    again = """(it) => {
        const {x, y, width, height} = it.getBoundingClientRect();
        const at = {clientX: x + width / 2, clientY: y + height / 2};
        it.dispatchEvent(new PointerEvent('pointermove', at));
        const chosen = report.state().pixel;
        report.change({pixel: null});
        it.dispatchEvent(new PointerEvent('pointermove', at));
        return [chosen, report.state().pixel];
    }"""
    moved, rested = canvas.evaluate(again)
    assert moved["layer"] == "conv1"
    assert rested is None


def test_relevance_for_one_class_and_another(finished: Path, page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    network = read_network(finished / "network.safetensors")[0]
    with RasterReader(finished / "raster.h5") as raster:
        spikes, predicted = [raster[name][0] for name in raster], int(raster.predictions[0])
    expected = relevance(network, spikes, predicted)[1].sum(axis=(0, 1))
    assert expected.min() < 0 < expected.max()
    for state in {}, {"view": "step", "step": 2}:  # the sum, whatever step is shown
        found = shown_map(page, 0, "conv1", 0, "relevance", **state)
        assert np.abs(found - expected).max() <= np.abs(expected).max() / 253
    caption = page.locator('figure:has(canvas[data-layer="conv1"][data-kind=relevance]) figcaption')
    assert f"for {HOSTILE[predicted]}, all steps" in caption.inner_text()
    change(page, behind="nothing")
    before = picture(page, "conv1", "relevance")
    place = np.unravel_index([expected.argmax(), expected.argmin()], expected.shape)
    for row, column, speaks_for in zip(*place, (True, False), strict=True):
        red, green, _ = cell(page, "conv1", "relevance", row, column, expected.shape)
        assert (green > red) == speaks_for
    page.select_option("select[name=target]", "other")
    page.evaluate(FRAMES)
    assert picture(page, "conv1", "relevance") != before
    assert f"for {HOSTILE[predicted]}," not in caption.inner_text()
    page.get_by_role("checkbox", name="relevance").uncheck()
    page.locator("select[name=target]").wait_for(state="hidden")


def test_silenced_spikes_change_the_answer_to_the_bit(finished: Path, page_of_run: Path, open_page: Any) -> None:
    """What the page's own simulation fires and sums up is what the event backend does."""
    page = open_page(page_of_run)
    script = """async ([sample, silenced]) => {
        const { spikes, whatIf } = await report.whatIf(0, sample, silenced);
        return [spikes.map(({ trains }) => [...trains]), [...whatIf.sums], whatIf.after];
    }"""
    network = read_network(finished / "network.safetensors")[0]
    edits = [(0, "input", [5, 100, 101], [0]), (3, "conv1", [*range(200)], []), (1, "conv2", [], [1, 4])]
    with RasterReader(finished / "raster.h5") as raster:
        for sample, name, cells, channels in edits:
            silenced = {"layer": name, "cells": cells, "channels": channels}
            fired, sums, shares = page.evaluate(script, [sample, silenced])
            mask = np.zeros(raster[name].shape, np.bool_)
            mask.reshape(len(mask), -1)[:, cells] = True
            mask[channels] = True
            expected = spikesam.edit(raster, network, name, mask, samples=sample)
            assert expected.layers["differ"].iloc[-1] > 0
            assert sums == expected.after.readout[0].tolist()
            assert np.allclose(shares, expected.after.shares[0])
            for layer, trains in zip(raster.layers, fired, strict=True):
                assert trains == spike_trains(expected.raster.packed(layer, 0), layer.neurons).ravel().tolist()


def test_a_click_silences_a_place_and_the_maps_behind_show_it(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    before, behind, said = picture(page, "input"), picture(page, "conv2"), page.locator(".silence [role=status]")
    assert said.inner_text() == ""
    canvas = page.locator("canvas[data-layer=conv1][data-kind=sam]")
    area = canvas.bounding_box()
    page.mouse.move(area["x"] + 1, area["y"] + 1)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] - 1, area["y"] + 1, steps=60)
    page.mouse.up()
    said.get_by_text("conv1 without ").wait_for()
    cells = page.evaluate("report.state().silenced.cells")
    assert sorted(cells) == [*range(24)]  # the first row, all of which the mouse passed
    change(page, pixel=None)  # whose marker lies on every map
    assert picture(page, "input") == before and picture(page, "conv2") != behind
    assert " → " in page.locator(".strip .card .shares").first.inner_text()
    canvas.focus()
    canvas.press("Enter")  # the middle, where no place was chosen
    assert page.evaluate("report.state().silenced.cells.at(-1)") == 8 * 24 + 12
    canvas.press("Enter")
    assert page.evaluate("report.state().silenced.cells.length") == 24
    page.select_option("select[name=channel]", "2")
    said.get_by_text("places and channel 2: ").wait_for()
    page.get_by_role("button", name="undo all").click()
    page.wait_for_selector(".silence [role=status]:empty", state="attached")
    change(page, pixel=None)
    assert picture(page, "conv2") == behind
    page.get_by_role("button", name="silence this place").click()
    said.get_by_text("conv2 without 1 place: ").wait_for()  # the deepest layer, where no place was chosen


def test_another_layer_or_the_same_click_again_undoes(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    change(page, silence={"layer": "conv1", "cell": 7})
    change(page, silence={"layer": "conv2", "channel": 1})
    assert page.evaluate("report.state().silenced") == {"layer": "conv2", "cells": [], "channels": [1]}
    change(page, silence={"layer": "conv2", "channel": 1})
    assert page.evaluate("report.state().silenced") is None


def test_nothing_is_silenced_without_the_network(page_of_spikes: Path, open_page: Any) -> None:
    page = open_page(page_of_spikes)
    page.locator("canvas[data-layer=a][data-kind=sam]").click()
    assert page.evaluate("report.state().silenced") is None
    assert page.locator(".silence").count() == 0


def test_a_recorded_network_has_images_and_names(page_of_recorded: Path, open_page: Any) -> None:
    page = open_page(page_of_recorded)
    assert page.locator(".gallery canvas").count() == 6
    assert page.locator(".gallery .answer").first.inner_text().endswith(("✓", "is cat (0)"))
    assert page.locator("input[name=relevance]").count() == 0  # nothing is known of its weights
    assert page.input_value("select[name=behind]") == "picture"


def test_events_are_shown_step_by_step_in_colour(events: Path, open_page: Any) -> None:
    page = open_page(events / "report.html")
    with RasterReader(events / "raster.h5") as raster:
        arrived = raster["input"][0]
    view, step = page.evaluate("[report.state().view, report.state().step]")
    assert view == "step" and arrived[step].sum() >= np.median(arrived.sum(axis=(1, 2, 3)))
    for row, column in np.argwhere(arrived[step].any(axis=0))[:5]:
        off, on = arrived[step][:, row, column]
        red, _, blue = seen(page, ".strip .card canvas", row, column, arrived.shape[2:])
        assert (off and on) or (red > blue) == on


def test_most_events_in_one_step_are_told_of(tmp_path: Path, open_page: Any) -> None:
    """Of 5 events 4 lie in step 6, with which the page begins."""
    spikes = np.zeros((1, 9, 2, 4, 4), bool)
    spikes[0, 6, 0, :, 1] = spikes[0, 2, 1, 3, 3] = True
    path = write_raster(tmp_path / "raster.h5", {"input": spikes, "conv1": spikes[:, :, :1, ::2, ::2]})
    with RasterReader(path) as raster:
        write_pictures(tmp_path, raster.raster_digest, Pictures((Seen("a"),), events=True))
    page = open_page(report(tmp_path))
    assert page.evaluate("[report.state().view, report.state().step]") == ["step", 6]
    assert "80 % of its events lie in step 6" in page.locator(".strip .card").first.inner_text()


def test_a_border_that_padding_lights_up_is_hatched(tmp_path: Path, open_page: Any) -> None:
    """The first row fires at every step, the others once; which rows see padding, only a network would tell."""
    spikes = np.zeros((1, 6, 1, 8, 8), bool)
    spikes[0, :, 0, 0] = spikes[0, 1] = True
    page = open_page(report(write_raster(tmp_path / "raster.h5", {"conv1": spikes}), tmp_path / "page.html"))
    plain = picture(page, "conv1", "count")
    for row, hatched in (7, False), (0, True):
        page.evaluate("row => { report.runs[0].layers[0].padded = { rows: [row], columns: [] } }", row)
        change(page, scale="all" if hatched else "layer", behind="nothing", opacity=row / 10)
        assert (picture(page, "conv1", "count") != plain) == hatched


def test_names_are_not_broken_inside_words(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run, 850)  # at which five cards stand side by side
    heights = """names => names.map(name => {
        name.textContent = "Staffordshire";
        return name.getBoundingClientRect().height / parseFloat(getComputedStyle(name).fontSize);
    })"""
    assert max(page.eval_on_selector_all(".shares bdi", heights)) < 2  # lines


@pytest.mark.parametrize("width", [400, 800, 1280])
def test_the_rows_of_cards_are_full_and_controls_stay_in_sight(width: int, page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run, width)
    cards = "[...document.querySelectorAll('.strip > .card')].map(card => card.getBoundingClientRect())"
    tops = page.evaluate(f"{cards}.map(area => area.top)")
    rights = page.evaluate(f"{cards}.map(area => Math.round(area.right))")
    assert {max(right for right, at in zip(rights, tops, strict=True) if at == top) for top in tops} == {max(rights)}
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    area = page.locator("#controls").bounding_box()
    assert width > 400 or (area["y"], area["height"] < 100) == (0, True)


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
    assert page.locator(".run").count() == 2
    before = picture(page, "a", run=1)
    change(page, gamma=2.0)
    assert picture(page, "a", run=1) != before
    change(page, view="step", step=15)
    titles = page.get_by_role("heading", level=2).all_inner_texts()
    assert titles[0].endswith("step 7 of 0 … 7")  # its last, which is too late
    captions = page.locator("figure:has(canvas[data-kind=sam]) figcaption").all_inner_texts()
    assert captions[0] == "SAM: too late to matter"
    assert titles[1].endswith("step 15 of 0 … 19")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_and_nothing_hinders_readers(
    width: int, scheme: str, page_of_two: Path, page_of_run: Path, page_of_recorded: Path, open_page: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
    for path in (page_of_run, page_of_two, page_of_recorded):
        page = open_page(path, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page).response["violations"]
        assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []
