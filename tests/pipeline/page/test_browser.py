"""The page in a real browser: its maps are the project's, its controls do what they say, and it is accessible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.maps.sam import spike_activation_maps, spike_count_map
from pipeline.page.write import report
from recordings.maps.reader import MapReader
from recordings.raster.reader import RasterReader

from .conftest import HOSTILE

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


def test_steps_that_come_too_late_are_striped(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)
    change(page, view="step", step=7)
    captions = page.locator("figure:has(canvas[data-kind=sam]) figcaption").all_inner_texts()
    assert captions[0] == "SAM: too late to matter"


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
    assert titles[0].endswith("step 7 of 0 … 7")  # its last
    assert titles[1].endswith("step 15 of 0 … 19")


def test_names_of_files_are_text(page_of_run: Path, open_page: Any) -> None:
    page = open_page(page_of_run)  # which must raise no dialog
    answers = page.locator(".gallery .answer").all_inner_texts()
    assert all(any(answer.startswith(name) for name in HOSTILE) for answer in answers)
    assert page.locator("script").count() == 2
    assert page.locator("img, i, b").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_and_nothing_hinders_readers(
    width: int, scheme: str, page_of_two: Path, page_of_run: Path, open_page: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
    for path in (page_of_run, page_of_two):
        page = open_page(path, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page).response["violations"]
        assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []
