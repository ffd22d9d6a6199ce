"""The run command end to end: the same bits on every backend, resumed or not, and one line for
every mistake.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
from PIL import Image

from spikesam.common.lock import out_lock
from spikesam.pipeline import run
from spikesam.recordings.maps.reader import MapReader
from tests.pipeline.small_networks import class_folders


def command(workplace: Path, out: Path, *extra: str) -> list[str]:
    return [
        *("--checkpoint", str(workplace / "snn.safetensors"), "--data", str(workplace / "images")),
        *("--out", str(out), "--samples", "20", *extra),
    ]


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def maps(out: Path) -> dict[str, np.ndarray]:
    with h5py.File(out / "sam.h5") as file:
        return {name: layer["sum"][:] for name, layer in file["layers"].items()}


@pytest.fixture(scope="module")
def finished(workplace, tmp_path_factory):
    """A run on torch."""
    out = tmp_path_factory.mktemp("finished") / "torch"
    run.main(command(workplace, out, "--backend", "torch"))
    return out


def test_what_a_run_leaves(finished):
    found = {path.name for path in finished.iterdir()}
    assert {
        "config.toml",
        "network.safetensors",
        "raster.h5",
        "sam.h5",
        "figures",
        "summary.json",
    } <= found
    assert not [name for name in found if name.endswith((".tmp", ".parts"))]
    said = summary(finished)
    assert said["backend"] == "torch"
    assert said["precision"] == "fixed"
    assert (said["n_samples"], said["timesteps"]) == (20, 8)
    with h5py.File(finished / "raster.h5") as file:
        labels, predictions = file["samples/label"][:], file["samples/prediction"][:]
        spikes = file["layers/001_conv1/count"][:].sum()
        assert said["raster_digest"] == file.attrs["raster_digest"]
    assert sorted(np.bincount(labels)) == [6, 7, 7]  # class-balanced
    assert said["accuracy"] == pytest.approx((labels == predictions).mean())
    assert said["spike_rate"]["conv1"] == pytest.approx(spikes / (20 * 8 * 4 * 16 * 24))
    assert {"prepare", "encode", "simulate", "record", "explain"} <= set(said["seconds"])
    for picture in ("overview.png", "spike_rates.png", "sam_000.png"):
        with Image.open(finished / "figures" / picture) as image:
            assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.long
def test_lava_and_another_batch_size_give_the_same_bits(workplace, finished, tmp_path):
    for option, value in (("--batch-size", "3"), ("--backend", "lava")):
        out = tmp_path / value
        run.main(command(workplace, out, option, value, "--figures", "0"))
        assert summary(out)["raster_digest"] == summary(finished)["raster_digest"]
        assert summary(out)["network_sha256"] == summary(finished)["network_sha256"]
        for name, expected in maps(finished).items():
            assert np.array_equal(maps(out)[name], expected)


def test_steps_are_kept_of_the_samples_that_are_pictured_or_as_asked(workplace, tmp_path):
    for arguments, kept in (
        (["--figures", "2"], (8, 2)),
        (["--figures", "0"], (0, 0)),
        (["--figures", "0", "--steps", "::4"], (2, 3)),
    ):
        out = tmp_path / f"steps of {kept}"
        run.main([*command(workplace, out, "--backend", "event"), "--samples", "3", *arguments])
        with MapReader(out / "sam.h5") as found:
            assert (len(found.steps), found.header.stepped) == kept


def test_a_failure_after_the_simulation_says_that_the_spikes_are_kept(
    workplace, tmp_path, refused, monkeypatch
):
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(
            "spikesam.pipeline.drawing.figures.save_figures", Mock(side_effect=OSError(28, "full"))
        )
        line = refused(run.main, *command(workplace, out, "--backend", "event"))
    kept = (
        f"the spikes of all 20 samples are kept in {out}/raster.h5, and --resume goes on from there"
    )
    assert line == f"error: full; {kept}"
    run.main(command(workplace, out, "--backend", "event", "--resume"))
    assert summary(out)["n_samples"] == 20


def test_results_that_vanish_while_the_run_goes_on(workplace, tmp_path, refused, monkeypatch):
    out = tmp_path / "out"

    def remove(*_):
        (out / "raster.h5").unlink()
        return []

    monkeypatch.setattr("spikesam.pipeline.drawing.figures.save_figures", remove)
    line = refused(run.main, *command(workplace, out, "--backend", "event"))
    assert (
        line
        == f"error: {out}: raster.h5 vanished while the run went on; did something else remove it?"
    )


def test_the_saved_configuration_repeats_the_run(finished, tmp_path):
    run.main(
        [
            "--config",
            str(finished / "config.toml"),
            "--out",
            str(tmp_path / "again"),
            "--figures",
            "0",
        ]
    )
    assert summary(tmp_path / "again")["raster_digest"] == summary(finished)["raster_digest"]


def test_float32_and_fixed_agree_on_the_input(workplace, finished, tmp_path):
    run.main(command(workplace, tmp_path / "float", "--precision", "float32", "--figures", "0"))
    with (
        h5py.File(finished / "raster.h5") as fixed,
        h5py.File(tmp_path / "float" / "raster.h5") as real,
    ):
        assert np.array_equal(
            fixed["layers/000_input/digest"][:], real["layers/000_input/digest"][:]
        )
        assert real["readout"].dtype == np.float32
        a, b = (np.unpackbits(file["layers/001_conv1/spikes"][:]) for file in (fixed, real))
    assert 0 <= np.mean(a != b) < 0.05


def test_single_image_files_of_any_size(workplace, tmp_path, capsys):
    Image.fromarray(np.full((300, 20), 90, np.uint8)).save(tmp_path / "grey.png")
    Image.new("RGBA", (33, 500), (200, 10, 10, 128)).save(tmp_path / "red.webp")
    out = tmp_path / "files"
    files = [str(tmp_path / "grey.png"), str(tmp_path / "red.webp")]
    run.main(
        ["--checkpoint", str(workplace / "snn.safetensors"), "--data", *files, "--out", str(out)]
    )
    assert summary(out)["n_samples"] == 2
    assert summary(out)["accuracy"] is None
    assert re.search(r"grey.png: (APPLE|PEAR|PLUM) \d+%, ", capsys.readouterr().out)
    assert [answer["image"] for answer in summary(out)["answers"]] == ["grey.png", "red.webp"]
    assert sum(summary(out)["answers"][0]["shares"]) == pytest.approx(
        1, abs=1e-3
    )  # all three classes


def test_folders_have_readable_names_and_unknown_classes_are_skipped(workplace, tmp_path, capsys):
    class_folders(tmp_path / "more", per_class=2, classes=("APPLE", "PLUM", "zebra"))
    arguments = command(workplace, tmp_path / "out", "--figures", "0")
    arguments[3] = str(tmp_path / "more")
    run.main(arguments)
    assert (
        "skipped 2 images of classes that the checkpoint does not know" in capsys.readouterr().out
    )
    with h5py.File(tmp_path / "out" / "raster.h5") as file:
        assert sorted(file["samples/label"][:]) == [0, 0, 2, 2]
    run.main([*arguments, "--out", str(tmp_path / "ranges"), "--range", "1/1"])
    skipped, fewer, *_ = capsys.readouterr().out.splitlines()
    assert skipped == "skipped 2 images of classes that the checkpoint does not know"
    assert fewer.endswith("has 4 images of these classes, fewer than 20")


def test_an_existing_folder_is_never_overwritten(workplace, finished, refused):
    before = (finished / "raster.h5").read_bytes()
    line = refused(run.main, *command(workplace, finished))
    assert "holds files already; continue that run with --resume, or choose another --out" in line
    line = refused(run.main, *command(workplace, finished, "--resume", "--seed", "1"))
    assert re.search(r"cannot resume: .*seed", line)
    assert (finished / "raster.h5").read_bytes() == before
    assert summary(finished)["seed"] == 0


def test_one_run_per_folder(workplace, tmp_path, refused):
    with out_lock(tmp_path), ThreadPoolExecutor(1) as pool:
        line = pool.submit(refused, run.main, *command(workplace, tmp_path)).result()
    assert "another run is writing here" in line
    assert not any(tmp_path.iterdir())
