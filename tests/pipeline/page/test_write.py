"""What the page is made of: from a run's folder, from a raster alone, thinned, and with anything
missing or foreign.
"""

import base64
import json
import os
import re
import shlex
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import spikesam
from spikesam.backends.network import LIF, Conv, Input, Layer, Network, Readout
from spikesam.backends.network.storage import read_network
from spikesam.common.errors import InputError
from spikesam.common.progress import Advance, Tracker
from spikesam.pipeline.drawing.padding import outside
from spikesam.pipeline.images.pictures import read_pictures, write_pictures
from spikesam.pipeline.images.preprocessing import box_mask
from spikesam.pipeline.maps.explain import explain_source
from spikesam.pipeline.maps.relevance import relevance, relevances
from spikesam.pipeline.measures.localisation import MEASURES
from spikesam.pipeline.measures.maps import resize_map
from spikesam.pipeline.page._content import attention_of, spike_trains
from spikesam.pipeline.page._packing import blob, excerpt
from spikesam.pipeline.page._relevance import (
    LEAST,
    MOST_CLASSES,
    NEURONS,
    explained_in_time,
    unexplained,
)
from spikesam.pipeline.page._shown_run import open_run
from spikesam.pipeline.page.write import json_in_page, report, script_of
from spikesam.pipeline.report import main
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from tests.backends.graphs import constant_current
from tests.backends.networks import multiplied
from tests.pipeline.page.conftest import HOSTILE
from tests.pipeline.page.pages import data_of, runs_of


def bytes_of(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The run once more, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture(scope="module")
def shown(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a page of the run holds; not to be changed."""
    (content,) = runs_of(report(finished, tmp_path_factory.mktemp("page") / "page.html"))
    return content


def test_a_run_wrote_its_page_and_it_is_the_same_again(
    finished: Path, shown: dict[str, Any]
) -> None:
    (written,) = runs_of(finished / "report.html")
    assert (written["name"], written["notes"]) == (finished.name, [])
    assert [layer["name"] for layer in written["layers"]] == ["input", "conv1", "conv2", "fc1"]
    content = deepcopy(shown)
    for sample in content["samples"]:
        [grad_cam] = sample["maps"].pop("snn-grad-cam")  # there was none yet
        assert grad_cam["layers"].keys() == {"input", "conv1", "conv2"}
    assert content == written


def test_what_a_sample_holds(finished: Path, shown: dict[str, Any]) -> None:
    assert all(sample["picture"] for sample in shown["samples"])
    sample = shown["samples"][1]
    assert sample["label"] in HOSTILE and sample["predicted"] in HOSTILE
    assert sum(sample["scores"]) == pytest.approx(1, abs=1e-3)
    assert (shown["answers"]["classes"], shown["answers"]["unit"]) == (list(HOSTILE), "share")
    assert len(bytes_of(sample["picture"]["pixels"])) == 16 * 24 * 3
    with RasterReader(finished / "raster.h5") as raster:
        spikes = raster["conv1"][1]
    trains = np.frombuffer(bytes_of(sample["spikes"][1]), np.uint8).reshape(-1, 1)
    assert np.array_equal(np.unpackbits(trains, axis=1), spikes.reshape(8, -1).T)


def test_relevance_is_that_of_the_spikes_where_the_page_does_not_compute_it(
    finished: Path, shown: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesam.pipeline.page._integers.MOST", 0)
    network = read_network(finished / "network.safetensors")[0]
    (written,) = runs_of(report(finished, tmp_path / "page.html"))
    assert shown["explains"] and not written["explains"]
    with RasterReader(finished / "raster.h5") as raster:
        for sample, content in enumerate(written["samples"]):
            predicted, label = int(raster.predictions[sample]), int(raster.labels[sample])
            ranked = [int(each) for each in np.argsort(-raster.readout[sample], kind="stable")]
            ranked = list(dict.fromkeys([predicted, label, *ranked]))
            assert shown["samples"][sample]["maps"]["relevance"] == []
            assert content["classes"] == shown["samples"][sample]["classes"] == ranked
            for found, target in zip(content["maps"]["relevance"], ranked, strict=True):
                assert found["of"] == target
                assert found["layers"].keys() == {"input", "conv1", "conv2", "fc1"}
                spikes = [raster[name][sample] for name in raster]
                for name, expected in zip(raster, relevance(network, spikes, target), strict=True):
                    summed = (
                        expected[:, :, 0, 0].T if name == "fc1" else expected.sum(axis=(0, 1))
                    )  # neurons over time
                    most, levels, shape = (
                        found["layers"][name][of] for of in ("most", "levels", "shape")
                    )
                    heat = (np.frombuffer(bytes_of(levels), np.uint8).reshape(shape) - 128.0) * (
                        most / 127
                    )
                    assert np.abs(heat - summed).max() <= most / 253


def test_relevance_of_many_large_samples_is_left_out_and_that_is_said(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RasterReader(finished / "raster.h5") as raster:
        neurons = sum(layer.neurons for layer in raster.layers)
    for count, said in (3, "shown for the first 3 of 4 samples"), (0, "not shown"):
        monkeypatch.setattr("spikesam.pipeline.page._integers.MOST", 0)
        monkeypatch.setattr("spikesam.pipeline.page._relevance.WEIGHTS", inf)
        monkeypatch.setattr(
            "spikesam.pipeline.page._relevance.ASKED", (count * 8 * neurons + 1) / NEURONS
        )
        (content,) = runs_of(report(finished, tmp_path / f"{count}.html"))
        assert content["notes"] == [
            f"Relevance is {said}: for a network of {neurons:,} neurons and 8 steps it takes long."
        ]
        assert [bool(sample["maps"]["relevance"]) for sample in content["samples"]] == [
            at < count for at in range(4)
        ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("most", "the network has weights of 360 bytes, and a page holds at most 359"),
        ("operations", ""),
        ("loop", "currents of the input drive conv1 beside spikes, and the run does not hold them"),
        ("steps", "the page does not hold all steps"),
        (
            "counts",
            "counted attends to counts of spikes, or to values of more channels; a page knows only "
            "bits",
        ),
    ],
)
def test_why_nothing_can_be_silenced(
    change: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_counts = multiplied(np.random.default_rng(0))
    network = {"loop": constant_current(), "counts": of_counts}.get(change, small_network())
    images: Any = np.random.default_rng(0).random((1, 1, *network.input_shape[1:]), np.float32)
    if change == "counts":
        images = np.ones((network.timesteps, 1, *network.input_shape), np.bool_)
    spikesam.simulate(network, images, out=tmp_path, backend="event")
    if change == "most":
        monkeypatch.setattr("spikesam.pipeline.page._integers.MOST", 359)
    if change == "operations":
        monkeypatch.setattr("spikesam.pipeline.page._integers.MOST_OPERATIONS", 1000)
        with spikesam.open_raster(tmp_path / "raster.h5") as raster:
            fired = {name: int(raster[name].counts.sum()) for name in raster}
        # A spike of the input reaches 4·(6·3-2)²/36 neurons in the mean, one of conv1 the 2 of the
        # readout; one or two weights of the convolution are rounded to 0, and are no synapse.
        cost = fired["input"] * 4 * 16**2 / 36 + 2 * fired["conv1"]
        said = "a sample costs N synaptic operations, and a page computes at most 1,000"
    (content,) = runs_of(report(tmp_path, limit=900 if change == "steps" else 10**6))
    assert content["integers"] is None
    reason = content["unsilenced"]
    if change == "operations":
        (found,) = re.findall(r"costs ([\d,]+) synaptic", reason)
        assert 0.97 * cost < int(found.replace(",", "")) <= cost
        reason = reason.replace(found, "N")
    assert reason == f"No spikes can be silenced here: {said}. spikesam edit silences them."


def test_rates_are_of_the_steps_of_the_model(tmp_path: Path) -> None:
    network = replace(small_network(), window=20)  # of 40
    images = np.random.default_rng(0).random((2, 1, 6, 6), np.float32)
    with spikesam.simulate(network, images, out=tmp_path, backend="event") as raster:
        rates = [raster.counts(layer).sum() / (2 * 20 * layer.neurons) for layer in raster.layers]
        drawn = {text.get_text() for text in spikesam.draw_network(network, raster).axes[0].texts}
    (content,) = runs_of(report(tmp_path))
    assert [layer["rate"] for layer in content["layers"]] == rates and content["rated"] == 20
    assert {f"{100 * rate:.1f} %" for rate in rates} <= drawn


def test_steps_with_the_delays_of_layers_are_told(tmp_path: Path) -> None:
    network = replace(small_network(), window=20)
    images = np.zeros((1, 1, 6, 6), np.float32)
    spikesam.simulate(network, images, out=tmp_path, backend="event").close()
    (content,) = runs_of(report(tmp_path))
    assert " · 20 steps · " in content["about"]
    assert ["steps", "20 steps, 40 with the delays of layers"] in content["facts"]


@pytest.mark.parametrize(
    ("folder", "title"),
    [
        ("small-nets-auto", "Small nets"),
        ("small-nets-event-2", "Small nets"),
        ("small-nets-without-noise", "small-nets-without-noise"),
        ("small-nets", "small-nets"),
        ("a", "a"),
    ],
)
def test_a_page_has_a_title_that_people_write(folder: str, title: str, finished: Path) -> None:
    """Of a folder that `spikesam run` named, the network."""
    with ExitStack() as files:
        run = open_run(finished, files)
        assert run.summary
        summary = run.summary.model_copy(update={"checkpoint": "small-nets"})
        assert replace(run, name=folder, summary=summary).title == title


def small_network() -> Network:
    """One convolution, of 4·2·3·3 weights, and a readout of 2·144."""
    weight = np.random.default_rng(1).normal(size=(4, 2, 3, 3)).astype(np.float32)
    layer = Layer("conv1", Input(Conv(weight, padding=1)), LIF(0.9))
    return Network((2, 6, 6), 40, (layer,), Readout(np.ones((2, 144), np.float32)))


def test_the_page_of_a_run_takes_a_tenth_of_its_time(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as files:
        shown = replace(open_run(finished, files), brief=True)
        monkeypatch.setattr("spikesam.pipeline.page._relevance.WEIGHTS", inf)
        a_map = shown.raster.timesteps * sum(layer.neurons for layer in shown.raster.layers)
        assert shown.summary
        for took, given in ((1.0, LEAST), (1000.0, 100)):
            summary = shown.summary.model_copy(
                update={"seconds": {"simulating": 0.9 * took, "recording": 0.1 * took}}
            )
            assert explained_in_time(replace(shown, summary=summary)) == (
                given * NEURONS // a_map // 3,
                3,
            )
        monkeypatch.setattr("spikesam.pipeline.page._relevance.NEURONS", 1)
        said = unexplained(replace(shown, name="it's $(id)"), 4)
    adding = "Relevance was skipped to save time. Add it: "
    assert said
    assert shlex.split(said.removeprefix(adding)) == ["spikesam", "report", "it's $(id)"]


def test_what_sees_padding_is_that_of_the_figures(finished: Path, shown: dict[str, Any]) -> None:
    cells = outside(read_network(finished / "network.safetensors")[0])
    assert shown["layers"][0]["padded"] is None  # the input
    for layer in shown["layers"][1:3]:
        found = np.zeros(layer["shape"][1:], bool)
        if layer["padded"]:
            found[layer["padded"]["rows"]] = found[:, layer["padded"]["columns"]] = True
        assert np.array_equal(found, cells[layer["name"]])


def test_scores_are_those_of_the_measures(copy: Path, tmp_path: Path) -> None:
    mask = box_mask((2.0, 3.0, 12.0, 11.0), (16, 24))
    with RasterReader(copy / "raster.h5") as raster:
        shown = read_pictures(copy, raster.raster_digest)
        assert shown is not None
        seen = [
            replace(each, mask=known)
            for each, known in zip(shown.seen, (mask, None, mask, mask), strict=True)
        ]
        write_pictures(copy, raster.raster_digest, replace(shown, seen=tuple(seen)))
    (content,) = runs_of(report(copy, tmp_path / "page.html"))
    with MapReader(copy / "sam.h5") as maps:
        heat = resize_map(maps["conv1"].sum[2], mask.shape)
    expected = {name: round(measure(heat, mask), 4) for name, measure in MEASURES.items()}
    assert content["samples"][2]["localisation"]["conv1"]["SAM"] == pytest.approx(
        expected, abs=1e-4
    )
    assert content["samples"][1]["localisation"]["conv1"] == {}


def test_the_folder_alone_is_enough_and_nothing_else_is_read(
    finished: Path, copy: Path, tmp_path: Path
) -> None:
    report(copy, tmp_path / "before.html")
    (copy / "config.toml").write_text('[run]\ndata = "/etc"\ncheckpoint = "/etc/passwd"\n')
    report(copy, tmp_path / "after.html")
    assert (tmp_path / "after.html").read_bytes() == (tmp_path / "before.html").read_bytes()
    assert str(finished.parent) not in (tmp_path / "after.html").read_text()


def test_spikes_alone(spikes_alone: Path, tmp_path: Path) -> None:
    (content,) = runs_of(report(spikes_alone, tmp_path / "page.html"))
    sample = content["samples"][0]
    assert (sample["picture"], sample["label"], sample["predicted"], sample["right"]) == (
        None,
        "class 1",
        None,
        None,
    )
    assert content["energy"] is None


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
def test_names_that_no_page_can_hold_are_shown_in_part(spikes_alone: Path, tmp_path: Path) -> None:
    named = shutil.copy(spikes_alone, tmp_path / "caf\udce9\x1b.h5")
    page = report(named).read_text(encoding="utf-8")
    assert "<title>caf??.h5" in page and "\x1b" not in page


@pytest.mark.parametrize(
    "name", ["summary.json", "network.safetensors", "pictures.zip", "sam.h5", "gradcam.h5"]
)
@pytest.mark.parametrize("by", [None, b"", b"\xff\x00{[<!", b"{}"])
def test_what_is_missing_is_left_out_and_what_is_damaged_is_named(
    name: str, by: bytes | None, copy: Path, tmp_path: Path
) -> None:
    (copy / name).unlink() if by is None else (copy / name).write_bytes(by)
    (content,) = runs_of(report(copy, tmp_path / "page.html"))
    assert len(content["samples"]) == 4
    own = name != "gradcam.h5"  # other files are shown if they are maps of this raster
    assert sum(note.startswith(f"{name} is not shown. ") for note in content["notes"]) == (
        own and by is not None
    )
    assert ("snn-grad-cam" in content["samples"][0]["maps"]) == own


@pytest.mark.parametrize(
    ("place", "number"),
    [
        ("accuracy", np.nan),
        ("spike_rate.conv1", np.inf),
        ("answers.1.shares.0", -np.inf),
        ("localisation.0.mean", np.nan),
    ],
)
def test_a_number_of_the_summary_that_is_none_is_named(
    place: str, number: float, copy: Path, tmp_path: Path
) -> None:
    summary = json.loads((copy / "summary.json").read_text())
    summary["localisation"] = [
        {
            "mean": 0.5,
            "low": 0.4,
            "high": 0.6,
            "n": 2,
            "layer": "conv1",
            "method": "SAM",
            "measure": "IoU",
        }
    ]
    *inside, last = (int(key) if key.isdigit() else key for key in place.split("."))
    group: Any = summary
    for key in inside:
        group = group[key]
    group[last] = number
    (copy / "summary.json").write_text(json.dumps(summary))
    (content,) = runs_of(report(copy, tmp_path / "page.html"))
    expected = (
        f"summary.json is not shown. summary.json: {place} is {number}: Input should be a "
        "finite number"
    )
    assert expected in content["notes"]


def test_a_summary_larger_than_its_samples_need_is_named(copy: Path, tmp_path: Path) -> None:
    with (copy / "summary.json").open("a") as file:
        file.write(" " * (1 << 25))
    (content,) = runs_of(report(copy, tmp_path / "page.html"))
    assert any(
        "summary.json: a file of 33.6 MB, expected at most 16.8 MB" in note
        for note in content["notes"]
    )


def test_many_files_of_maps_are_not_all_read(copy: Path, tmp_path: Path) -> None:
    for number in range(30):
        shutil.copy(copy / "gradcam.h5", copy / f"maps{number:02}.h5")
    (content,) = runs_of(report(copy, tmp_path / "page.html"))
    assert "15 files of maps are not shown, only the first 16 by name" in content["notes"]
    assert content["samples"][0]["maps"]["snn-grad-cam"]


def test_what_belongs_to_another_run_is_not_shown(
    copy: Path, spikes_alone: Path, tmp_path: Path
) -> None:
    shutil.copy(spikes_alone, copy / "raster.h5")
    (content,) = runs_of(report(copy, tmp_path / "page.html"))
    named = {note.split()[0] for note in content["notes"]}
    assert named == {"summary.json", "network.safetensors", "pictures.zip", "sam.h5"}
    assert "snn-grad-cam" not in content["samples"][0]["maps"]
    assert content["energy"] is None and content["samples"][0]["maps"]["relevance"] == []


def test_maps_of_an_earlier_raster_say_how_to_make_them_again(
    copy: Path, spikes_alone: Path, tmp_path: Path
) -> None:
    shutil.copy(spikes_alone.parent / "sam.h5", copy / "sam.h5")
    (content,) = runs_of(report(copy, tmp_path / "page.html"))
    again = "spikesam explain "
    (note,) = [note for note in content["notes"] if again in note]
    assert "sam.h5" in note and "an earlier raster than raster.h5; make it again: " in note


def test_relevance_of_other_classes_takes_no_more_than_a_second(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as files:
        shown = open_run(finished, files)
        monkeypatch.setattr("spikesam.pipeline.page._relevance.WEIGHTS", inf)
        a_map = shown.raster.timesteps * sum(layer.neurons for layer in shown.raster.layers)
        for maps_in_a_second, classes in (3, 1), (4, 1), (8, 2), (1000, 3):  # of four samples
            monkeypatch.setattr(
                "spikesam.pipeline.page._relevance.NEURONS", maps_in_a_second * a_map + 0.5
            )
            assert explained_in_time(shown)[1] == classes


@pytest.mark.parametrize("by_the_page", [True, False])
def test_of_a_thousand_classes_few_are_computed(
    by_the_page: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = np.random.default_rng(1).normal(size=(1000, 36)).astype(np.float32)
    layer = Layer("conv1", Input(Conv(np.ones((1, 1, 3, 3), np.float32), padding=1)), LIF(0.9))
    network = Network((1, 6, 6), 9, (layer,), Readout(weight), encoder="spikes")
    inputs = np.random.default_rng(0).random((9, 1, 1, 6, 6)) < 0.5
    spikesam.simulate(network, inputs, out=tmp_path, backend="event")
    if not by_the_page:
        monkeypatch.setattr("spikesam.pipeline.page._integers.MOST", 1)
    computed: list[int] = []

    def counted(network: Network, spikes: Any, targets: list[int]) -> Any:
        computed.extend(targets)
        return relevances(network, spikes, targets)

    monkeypatch.setattr("spikesam.pipeline.page._relevance.relevances", counted)
    (content,) = runs_of(report(tmp_path))
    (sample,) = content["samples"]
    assert content["explains"] is by_the_page
    assert len(sample["classes"]) == (1000 if by_the_page else MOST_CLASSES)
    assert computed == ([] if by_the_page else sample["classes"])  # the page computes what is asked


def test_weights_count_in_the_time_that_relevance_takes(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as files:
        shown = open_run(finished, files)
        network = shown.whole_network
        assert network
        weights = sum(layer.inputs[0].synapse.weight.size for layer in network.layers)
        monkeypatch.setattr("spikesam.pipeline.page._relevance.NEURONS", inf)
        # of four samples; one class of one sample takes a second, half of it, an eighth
        for classes_in_a_second, classes in (1, 1), (2, 1), (8, 2):
            monkeypatch.setattr(
                "spikesam.pipeline.page._relevance.WEIGHTS",
                classes_in_a_second * weights * shown.raster.timesteps + 0.5,
            )
            assert explained_in_time(shown)[1] == classes


def test_maps_of_any_method_are_shown_if_they_are_of_this_raster(
    copy: Path, spikes_alone: Path, tmp_path: Path
) -> None:
    explain_source(copy, method="variance-relevance").close()
    explain_source(spikes_alone, copy / "other.h5").close()
    page = report(copy, tmp_path / "page.html")
    (content,) = runs_of(page)
    [shown] = content["samples"][0]["maps"]["variance-relevance"]
    assert shown["layers"]["conv1"]["shape"] == [16, 24]
    assert {name: kind["label"] for name, kind in data_of(page)["kinds"].items()} == {
        "sam": "SAM",
        "relevance": "relevance",
        "count": "count",
        "attention": "attention",
        "snn-grad-cam": "Grad-CAM",
        "variance-relevance": "Relevance of the variance over logits",
        "energy": "energy",
    }


def test_a_damaged_raster_is_refused(copy: Path, tmp_path: Path) -> None:
    with h5py.File(copy / "raster.h5", "a") as file:
        file["layers/001_conv1/count"][0, 3] += 1
    with pytest.raises(InputError, match=r"raster\.h5: .*changed after it was written"):
        report(copy, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_an_excerpt_keeps_the_first_samples_and_says_so(spikes_alone: Path, tmp_path: Path) -> None:
    (content,) = runs_of(report(spikes_alone, tmp_path / "page.html", limit=1800))
    assert (len(content["samples"]), content["steps"]) == (2, 20)
    assert "the first 2 of 3 samples" in content["notes"][0]
    assert [layer["rates"].__len__() for layer in content["layers"]] == [20, 20]


def test_an_excerpt_cuts_steps_where_not_one_sample_fits() -> None:
    def content(sample: int, steps: int) -> dict[str, str]:
        return {"x": "." * (10 * steps)}

    shown = excerpt(content, 5, 100, 250)
    assert (len(shown.samples), shown.steps) == (1, 24)  # of 1,009 bytes 250 are 24 steps of 100
    assert shown.note and "the first 24 of 100 steps" in shown.note
    assert excerpt(content, 2, 10, 1000).note is None


@pytest.mark.parametrize(("seconds", "counted"), [(0.4, []), (0.6, [("samples of the page", 5)])])
def test_a_bar_is_shown_where_more_than_two_seconds_remain(
    seconds: float, counted: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, bars, done = iter((0.0, seconds)), [], []

    class Bars(Tracker):
        @contextmanager
        def show(self, text: str, total: int | None = None) -> Iterator[Advance]:
            bars.append((text, total))
            yield done.append

    monkeypatch.setattr("spikesam.pipeline.page._packing.Tracker", Bars)
    monkeypatch.setattr("spikesam.pipeline.page._packing.time.perf_counter", clock.__next__)
    shown = excerpt(lambda sample, steps: {"x": sample}, 5, 10, 1000)
    assert len(shown.samples) == 5
    assert bars == counted and done == [1] * 5 * len(bars)


def test_ten_images_of_six_layers_and_sixteen_steps_stay_below_two_megabytes(
    tmp_path: Path,
) -> None:
    # The input of Poisson spikes, which deflates least, and layers like those of the bundled
    # digits.
    random = np.random.default_rng(0)
    shapes = {
        (6, 80, 80): 0.17,
        (24, 40, 40): 0.08,
        (48, 20, 20): 0.1,
        (64, 10, 10): 0.12,
        (65, 10, 10): 0.09,
    }
    size = sum(
        len(
            blob(
                spike_trains(
                    np.packbits(random.random((16, np.prod(shape))) < rate, axis=1),
                    int(np.prod(shape)),
                )
            )
        )
        for shape, rate in shapes.items()
    )
    assert 10 * (size + 4 * 80 * 80) < 2e6


@pytest.mark.parametrize("text", [*HOSTILE, "\u2028", "]]>", "-->", "\ud800"])
def test_json_cannot_end_its_script(text: str) -> None:
    written = str(json_in_page({text: [text]}))
    assert json.loads(written) == {text: [text]}
    assert not set("<>&\u2028") & set(written)


def test_modules_are_joined_each_once_and_after_what_they_need() -> None:
    script = script_of("main")
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    assert script.count("function decodeSpikes(") == 1
    assert script.index("function decodeSpikes(") < script.index("function sampleLoader(")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}"], "has no raster.h5, expected the folder of a finished run, or a raster file"),
        (["{folder}/missing.h5"], "no such file"),
        (["{folder}/text.h5"], "text.h5"),
        (["{spikes}", "--out", "{folder}/text.h5"], "already exists"),
        (["{spikes}", "--out", "{spikes}", "--overwrite"], "is an input"),
        (["{spikes}", "--out", "{folder}/none/page.html"], "cannot be written"),
        (["{spikes}", "--megabytes", "0"], "--megabytes"),
        (["{spikes}", "{spikes}", "{spikes}"], "unexpected argument"),
        ([], "RUN"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    message: str,
    spikes_alone: Path,
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    (tmp_path / "text.h5").write_text("no raster")
    assert message in refused(
        main, *(each.format(folder=tmp_path, spikes=spikes_alone) for each in arguments)
    )


def test_help_says_that_the_samples_are_limited_and_not_the_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "MB that the samples may take; " in " ".join(capsys.readouterr().out.split())


def test_a_page_lies_in_the_folder_and_replaces_an_earlier_page_alone(
    copy: Path, spikes_alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = copy / "report.html"
    before = page.read_bytes()
    assert report(copy) == page
    main([str(copy)])
    assert len(runs_of(page)) == 1 and page.read_bytes() != before  # Grad-CAM came later
    page.write_text("mine")
    with pytest.raises(InputError, match=r"report\.html: already exists"):
        report(copy)
    assert page.read_text() == "mine"
    with pytest.raises(
        InputError, match=r": is the folder of a run, .*; of two runs: report\(\[a, b\]\)$"
    ):
        report(spikes_alone, copy)
    assert report(spikes_alone) == spikes_alone.with_suffix(".html")
    main([str(copy), str(spikes_alone)])
    beside = copy / f"report-beside-{spikes_alone.stem}.html"
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith(f"{beside}  ")
        and len(runs_of(beside)) == 2
    )
    assert page.read_text() == "mine"


def test_what_it_costs(finished: Path, shown: dict[str, Any]) -> None:
    """The page holds what `spikesam.energy` counts, and one map, on the grid of the input."""
    found = spikesam.energy(finished)
    layers = found.layers.set_index("layer")
    for row in shown["energy"]["rows"]:
        assert row["operations"] == pytest.approx(layers["operations"][row["layer"]])
        assert row["joules"] == pytest.approx(layers["joules"][row["layer"]])
        assert row["macs"] == layers["ann_macs"][row["layer"]]
    assert [row["layer"] for row in shown["energy"]["rows"]] == ["conv1", "conv2", "fc1", "readout"]
    for sample, expected in zip(shown["samples"], found.maps, strict=True):
        maps = sample["maps"]["energy"][0]["layers"]
        assert maps.keys() == {"fc1", "input"}  # a band, and all layers together
        packed = maps["input"]
        levels = np.frombuffer(bytes_of(packed["levels"]), np.uint8).reshape(packed["shape"])
        assert packed["most"] == pytest.approx(expected.max())
        np.testing.assert_allclose(
            levels / 255 * packed["most"], expected, atol=packed["most"] / 500
        )


def test_a_network_whose_image_drives_several_layers_has_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = Input(rng.normal(size=(3, 1, 1, 1)), "input")
    layers = (
        Layer("conv1", Input(Conv(rng.normal(size=(3, 1, 3, 3)), padding=1)), LIF(0.9)),
        Layer("conv2", (Input(Conv(rng.normal(size=(3, 3, 3, 3)), padding=1)), image), LIF(0.9)),
    )
    network = Network((1, 6, 6), 8, layers, Readout(rng.normal(size=(2, 108))), "constant-current")
    spikesam.simulate(
        network, rng.normal(size=(2, 1, 6, 6)).astype(np.float32), out=tmp_path, backend="event"
    )
    (content,) = runs_of(report(tmp_path))
    assert all(sample["maps"]["relevance"] == [] for sample in content["samples"])
    said = (
        "Relevance is not shown: numbers of the input drive layer conv2, too, and a raster "
        "does not hold them."
    )
    assert said in content["notes"]


@pytest.mark.parametrize(
    ("sides", "timesteps", "said"),
    [((9, 9), 8, "other maps of layer input"), ((6, 6), 9, "other steps")],
)
def test_a_raster_that_only_says_that_it_is_of_the_network_beside_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sides: tuple[int, int],
    timesteps: int,
    said: str,
) -> None:
    """Whoever writes a raster writes what he likes into its header; here, the hash of another
    network.
    """
    known = small_network()
    spikesam.simulate(known, np.zeros((1, 1, 6, 6), np.float32), out=tmp_path, backend="event")
    readout = Readout(np.ones((2, 4 * sides[0] * sides[1])))
    other = replace(known, input_shape=(2, *sides), timesteps=timesteps, readout=readout)
    with spikesam.open_raster(tmp_path / "raster.h5") as raster:
        vars(other)["sha256"] = raster.header.network_sha256
    monkeypatch.setattr("spikesam.pipeline.page._shown_run.read_network", lambda path: (other, {}))
    with ExitStack() as resources:
        run = open_run(tmp_path, resources)
    assert run.network is None
    assert any(f"It fires {said} than the raster holds" in note for note in run.notes)


def test_queries_meet_the_keys_that_the_network_multiplies_them_with(tmp_path: Path) -> None:
    """Step t reads q of t - 2 and k of t - 1: a query meets the key that fired a step later."""
    network = multiplied(np.random.default_rng(0))
    spikesam.simulate(
        network, np.ones((14, 1, 2, 3, 4), bool), out=tmp_path / "run", backend="event"
    )
    with ExitStack() as files:
        run = open_run(tmp_path / "run", files)
        names = list(run.raster)
        found = [
            ([names[each[role]] for role in ("query", "key")], each["later"], each["heads"])
            for each in attention_of(run)
        ]
    assert found == [(["qkv", "qkv"], 0, 2), (["q", "k"], -1, 2)]
