"""Pictures: what the parts compute, and that every odd shape is drawn at a size fit for a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.drawing.canvas import HEAT, overlay
from pipeline.drawing.figures import (
    Subject,
    map_grid,
    overview,
    raster_plot,
    relative_to_layer,
    spike_rates,
)
from pipeline.drawing.steps import active_steps, best_step

RANDOM = np.random.default_rng(0)


def some_maps(timesteps: int, *shapes: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    return {
        f"conv{number}": RANDOM.gamma(1, size=(timesteps, *shape)).astype(np.float32)
        for number, shape in enumerate(shapes, 1)
    }


def pixels(path: Path) -> NDArray[np.uint8]:
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert 500 < picture.shape[1] < 2000 and 200 < picture.shape[0] < 2200
    assert len(np.unique(picture.reshape(-1, 3)[::17], axis=0)) > 5
    return picture


def test_caption() -> None:
    assert Subject("lion", "lion").caption == "lion ✓"
    assert Subject("lion", "cat").caption == "lion ✗\nis cat"
    assert Subject("lion").caption == "predicted\nlion"
    assert (Subject(None, "cat").caption, Subject(None, "cat").colour) == ("is cat", "black")
    assert Subject(None).caption == "class unknown"


def test_steps_span_what_happens() -> None:
    maps = {"a": np.zeros((30, 2, 2), np.float32), "b": np.zeros((30, 1, 1), np.float32)}
    assert active_steps(maps) == [29]
    maps["a"][5, 0, 0] = maps["b"][7] = 1
    assert active_steps(maps) == [5, 6, 7]
    maps["b"][26] = 1
    assert active_steps(maps) == [5, 8, 11, 14, 17, 20, 23, 26]


def test_best_step_varies_most() -> None:
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0] = 9
    maps[1, 0, 0] = 2
    assert best_step(maps) == 1
    assert best_step(np.array([1, 3, 2], np.float32).reshape(3, 1, 1)) == 1


def test_scale_is_one_per_layer() -> None:
    maps = np.array([[[0, 1]], [[2, 4]]], np.float32)
    np.testing.assert_array_equal(relative_to_layer(maps), maps / 4)
    np.testing.assert_array_equal(relative_to_layer(np.zeros((2, 1, 1), np.float32)), np.zeros((2, 1, 1)))


def test_overlay_covers_the_image_with_the_value() -> None:
    image = RANDOM.random((8, 12, 3))
    shown = [overlay(image, np.full((2, 3), value, np.float32), (8, 12)) for value in (0, 1)]
    grey = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(np.corrcoef(shown[0].mean(axis=2).ravel(), grey.ravel())[0, 1], 1, atol=0.1)
    np.testing.assert_allclose(shown[1], np.broadcast_to(HEAT(1.0)[:3], shown[1].shape), atol=0.05)
    alone = overlay(None, np.array([[0, 1]], np.float32), (4, 8))
    np.testing.assert_allclose(alone[:, 0], np.broadcast_to(HEAT(0.0)[:3], (4, 3)))
    np.testing.assert_allclose(alone[:, -1], np.broadcast_to(HEAT(1.0)[:3], (4, 3)))


@pytest.mark.parametrize(
    ("subject", "maps"),
    [
        (Subject("lion", "cat", RANDOM.random((64, 64, 3)), (3.5, 4, 50, 64)), some_maps(16, (64, 64), (16, 16))),
        (Subject("a very long name of a class indeed", None, RANDOM.random((48, 80, 3))), some_maps(3, (48, 80))),
        (Subject("tall", "tall", RANDOM.random((90, 30, 3))), some_maps(5, (45, 15), (3, 1))),
        (Subject("class 3"), some_maps(30, *[(8, 8)] * 10)),
        (Subject("class 3", "class 4"), {"conv1": np.zeros((1, 1, 1), np.float32)}),
    ],
    ids=["usual", "wide", "tall", "ten layers without image", "one silent pixel"],
)
def test_every_shape_is_drawn(tmp_path: Path, subject: Subject, maps: dict[str, NDArray[np.float32]]) -> None:
    map_grid(tmp_path / "grid.png", subject, maps, "Spike Activation Map", "γ = 0.5")
    overview(tmp_path / "overview.png", [subject] * 3, [maps] * 3, "Where neurons fire", "Spike Activation Map")
    pixels(tmp_path / "grid.png")
    pixels(tmp_path / "overview.png")


def test_box_is_drawn_where_it_lies(tmp_path: Path) -> None:
    black = np.zeros((20, 20, 3))
    maps = {"conv1": np.zeros((1, 20, 20), np.float32)}
    for name, box in (("without", None), ("left", (1, 5, 9, 15)), ("right", (11, 5, 19, 15))):
        map_grid(tmp_path / f"{name}.png", Subject("x", None, black, box), maps, "Spike Activation Map")
    without, left, right = (pixels(tmp_path / f"{name}.png").astype(int) for name in ("without", "left", "right"))
    centres = [np.nonzero(np.abs(picture - without).sum(axis=2) > 100)[1].mean() for picture in (left, right)]
    frame = np.nonzero(without[without.shape[0] // 3, : without.shape[1] // 2].sum(axis=1) == 0)[0]
    assert (centres[1] - centres[0]) / (frame.max() - frame.min() + 1) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("shape", [(5, 16), (1, 1), (2, 500)])
def test_spike_rates(tmp_path: Path, shape: tuple[int, int]) -> None:
    rates = {f"conv{number}": RANDOM.random(shape) for number in range(11)}
    rates["fc1"] = np.zeros(shape)
    matter = {name: max(1, shape[1] - 11 + number) for number, name in enumerate(rates)}
    spike_rates(tmp_path / "rates.png", rates, matter)
    pixels(tmp_path / "rates.png")


@pytest.mark.parametrize(("timesteps", "shape", "rate"), [(16, (8, 16, 16), 0.1), (5, (2, 3, 3), 0), (1, (1, 1, 1), 1)])
def test_raster_plot(tmp_path: Path, timesteps: int, shape: tuple[int, int, int], rate: float) -> None:
    raster_plot(tmp_path / "raster.png", "conv3", RANDOM.random((timesteps, *shape)) < rate, "sample 3")
    pixels(tmp_path / "raster.png")


def test_raster_plot_shows_spikes_at_their_step(tmp_path: Path) -> None:
    spikes = np.zeros((4, 1, 1, 1), bool)
    dark = []
    for step in range(4):
        spikes[:] = False
        spikes[step] = True
        raster_plot(tmp_path / "raster.png", "conv1", spikes)
        picture = pixels(tmp_path / "raster.png").sum(axis=2)
        dark.append(np.median(np.nonzero(picture[picture.shape[0] // 2] == 0)[0]))
    np.testing.assert_allclose(np.diff(dark) / np.diff(dark).mean(), 1, atol=0.05)
