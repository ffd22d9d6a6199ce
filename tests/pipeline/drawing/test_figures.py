"""Which pictures a recording and its maps get, what their titles say, and the raster: who fires
when.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import EventCollection
from matplotlib.figure import Figure

from spikesam.pipeline.drawing.activity import draw_raster
from spikesam.pipeline.drawing.figures import _delays, save_figures
from spikesam.pipeline.drawing.subject import Subject
from spikesam.pipeline.maps.explain import explain_source
from spikesam.pipeline.maps.method import method_of
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader, MapLayer
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.raster.batch import pack
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.schema import SampleTable
from tests.pipeline.drawing.conftest import assert_nothing_is_cut_off, texts
from tests.recordings.rasters import record


def titles(figures: list[Figure]) -> list[str]:
    """Title, explanation and the texts after them, in one line each."""
    return [" | ".join(texts(figure)).replace(" | ", ": ", 1) for figure in figures]


@pytest.mark.parametrize("variant", ["paper", "authors-code"])
def test_a_recording(tmp_path: Path, saved: list[Figure], variant: str) -> None:
    with RasterReader(record(tmp_path / "run", 3)) as raster:
        explain_source(raster, tmp_path / "sam.h5", variant=variant).close()
        with MapReader(tmp_path / "sam.h5") as maps:
            subjects = [Subject("sample 7", "class 2", "class 1"), Subject("sample 8")]
            written = save_figures(
                maps, method_of(maps.header), subjects, tmp_path / "new" / "figures", raster
            )
    assert [path.name for path in written] == [
        *("overview.png", "spike_rates.png", "raster_conv1.png", "sam_000.png", "sam_001.png")
    ]
    assert all(path.is_file() for path in written)
    overview, _, spikes, first, second = titles(saved)
    assert overview.startswith(
        "Where neurons fire in short intervals: Spike Activation Map, summed over the steps"
    )
    assert spikes.startswith("Spikes of conv1: sample 7, predicted class 2, is class 1: ")
    kernel = "γ = 0.5." if variant == "paper" else "γ = 0.5, authors-code."
    assert first.startswith(
        f"Spike Activation Map: sample 7, predicted class 2, is class 1: {kernel} First: summed"
    )
    assert second.startswith("Spike Activation Map: sample 8: γ")


def test_layers_see_what_is_as_many_steps_old_as_they_are_deep(tmp_path: Path) -> None:
    with RasterReader(record(tmp_path / "run", 1)) as raster:
        with explain_source(raster, tmp_path / "all.h5") as maps:
            assert _delays(maps) == {"input": 0, "conv1": 1}
        explain_source(raster, tmp_path / "one.h5", layers=["input"]).close()
    with MapReader(tmp_path / "one.h5") as maps:
        assert _delays(maps) == {"input": 0}


@pytest.mark.parametrize(
    ("true", "overview", "each"),
    [
        (("cat", "cat"), "true", ("true", "true")),
        ((None, None), "predicted", ("predicted", "predicted")),
        (("cat", None), "true or predicted", ("true", "predicted")),
    ],
)
def test_grad_cam_names_its_class(
    tmp_path: Path,
    saved: list[Figure],
    true: tuple[str | None, ...],
    overview: str,
    each: tuple[str, str],
) -> None:
    header = MapHeader(
        "grad-cam",
        "0" * 64,
        {},
        1,
        (MapLayer("conv2", 2, (2, 3), 1),),
        source_name="network_sha256",
    )
    table = SampleTable(np.arange(2, dtype=np.int64), np.full(2, -1, np.int32))
    with writing_maps(tmp_path / "ann.h5", header, table) as writer:
        for sample in range(2):
            writer.add(
                sample,
                [make_map_record(header, sample, 0, {"conv2": np.ones((2, 3), np.float32)}, {})],
            )
    with MapReader(tmp_path / "ann.h5") as maps:
        written = save_figures(
            maps,
            method_of(maps.header),
            [Subject(f"sample {i}", "cat", true[i]) for i in range(2)],
            tmp_path / "figures",
        )
    assert [path.name for path in written] == [
        "overview.png",
        "grad-cam_000.png",
        "grad-cam_001.png",
    ]
    first, *others = titles(saved)
    assert first.startswith(
        f"What speaks for the class: Grad-CAM of the ANN for the {overview} class. Each map is"
    )
    for title, kind, sample in zip(others, each, range(2), strict=True):
        assert title.startswith(
            f"Grad-CAM of the ANN for the {kind} class: sample {sample}, predicted cat"
        )


@pytest.mark.parametrize(
    ("target", "heading", "caption"),
    [
        ("left half", "What “left half” rests on", "for the target “left half”"),
        ("answer", "What the answer rests on", "for the predicted class"),
    ],
)
def test_relevance_names_a_target_that_is_a_function(
    tmp_path: Path, saved: list[Figure], target: str, heading: str, caption: str
) -> None:
    layers = (MapLayer("conv2", 2, (2, 3), 1),)
    parameters = {"rule": "signed", "target_name": target}
    header = MapHeader("relevance", "0" * 64, parameters, 1, layers)
    table = SampleTable(np.arange(1, dtype=np.int64), np.full(1, -1, np.int32))
    heat = {"conv2": np.ones((2, 3), np.float32)}
    with writing_maps(tmp_path / "maps.h5", header, table) as writer:
        writer.add(0, [make_map_record(header, 0, -1, heat, {})])
    with MapReader(tmp_path / "maps.h5") as maps:
        save_figures(maps, method_of(maps.header), [Subject("sample 0")], tmp_path / "figures")
    overview, sample = titles(saved)
    assert overview.startswith(f"{heading}: Relevance of spikes {caption}")
    assert sample.startswith(f"Relevance of spikes {caption}: sample 0")


WHAT = "A line is a neuron, a tick a spike."


def ticks(axes: Any) -> list[tuple[float, list[float]]]:
    """Line and steps of every neuron."""
    every = [lines for lines in axes.collections if isinstance(lines, EventCollection)]
    return [(lines.get_lineoffset(), sorted(lines.get_positions())) for lines in every]


def test_the_most_active_neurons_are_on_top(tmp_path: Path, saved: list[Figure]) -> None:
    spikes = np.zeros((4, 3, 1, 1), bool)
    spikes[1, 0] = spikes[[0, 2, 3], 2] = True  # the second neuron is silent
    draw_raster(tmp_path / "raster.png", "conv1", pack(spikes[:, None])[0], 3, "sample 3")
    sheet, axes = saved[0].axes
    assert ticks(axes) == [(0, [0, 2, 3]), (1, [1])]
    assert axes.yaxis_inverted()
    about = f"2 of 3 neurons fire. {WHAT}"
    assert [text.get_text() for text in sheet.texts] == ["Spikes of conv1: sample 3", about]


@pytest.mark.parametrize("timesteps", [16, 500])
def test_spikes_of_neighbours_do_not_touch(
    tmp_path: Path, saved: list[Figure], timesteps: int
) -> None:
    spikes = np.ones((timesteps, 50, 1, 1), bool)
    draw_raster(tmp_path / "raster.png", "conv1", pack(spikes[:, None])[0], 50, "sample 3")
    axes = saved[0].axes[1]
    every = [lines for lines in axes.collections if isinstance(lines, EventCollection)]
    assert len(every) == 40  # as many as can be told apart
    assert every[0].get_linelength() < 0.8  # of the distance between two neurons
    points = 72 * axes.get_position().width * saved[0].get_size_inches()[0] / timesteps
    assert every[0].get_linewidth() < max(0.5 * points, 0.7)  # of a step, or a thin line
    assert_nothing_is_cut_off(saved[0])


@pytest.mark.parametrize(
    ("timesteps", "shape", "rate", "said"),
    [
        (16, (8, 16, 16), 0.1, f"One in 42 is shown, from the most to the least active. {WHAT}"),
        (5, (2, 3, 3), 0, "0 of 18 neurons fire."),
        (1, (1, 1, 1), 1, f"1 of 1 neurons fire. {WHAT}"),
    ],
)
def test_every_size_is_drawn(
    tmp_path: Path,
    saved: list[Figure],
    timesteps: int,
    shape: tuple[int, int, int],
    rate: float,
    said: str,
) -> None:
    spikes = np.random.default_rng(0).random((timesteps, *shape)) < rate
    draw_raster(
        tmp_path / "raster.png", "conv3", pack(spikes[:, None])[0], spikes[0].size, "sample 3"
    )
    sheet, axes = saved[0].axes
    assert " ".join(text.get_text() for text in sheet.texts).endswith(said)
    assert bool(ticks(axes)) == (rate > 0) and len(axes.texts) == (rate == 0)
    assert_nothing_is_cut_off(saved[0])
