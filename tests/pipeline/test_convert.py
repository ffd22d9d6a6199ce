"""The commands convert and export end to end, and that a converted network runs the same on every
backend.
"""

import csv
import json

import numpy as np
import pytest

from spikesam.backends.available import BACKENDS
from spikesam.backends.network.storage import read_network
from spikesam.common.errors import InputError
from spikesam.pipeline import convert, export, run
from spikesam.pipeline.config import Config
from spikesam.pipeline.imports.nir.read import from_nir
from spikesam.pipeline.networks.checkpoint import load

T = 12


@pytest.fixture(scope="module", params=["poisson", "constant-current"])
def finished(workplace, tmp_path_factory, request):
    """A conversion."""
    out = tmp_path_factory.mktemp("conversion") / request.param
    words = ["--data", str(workplace / "images"), "--samples", "9", "--conversion.calibration", "6"]
    words += ["--conversion.timesteps", str(T), "--conversion.encoder", request.param]
    convert.main([str(workplace / "ann.safetensors"), *words, "--out", str(out)])
    return out


def test_it_leaves_a_checkpoint_and_its_accuracy_over_time(finished, capsys):
    network = load(str(finished / "checkpoint.safetensors")).network
    summary = json.loads((finished / "summary.json").read_text())
    with (finished / "accuracy.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (network.encoder, network.timesteps) == (summary["conversion"]["encoder"], T)
    assert network.sha256 == summary["network_sha256"]
    assert [int(row["t"]) for row in rows] == list(range(1, T + 1))
    assert float(rows[-1]["fixed"]) == pytest.approx(summary["accuracy"]["fixed"][str(T)], abs=1e-4)
    assert summary["thresholds"] == {
        layer.name: [layer.neuron.threshold] for layer in network.layers
    }
    assert summary["n_samples"] == 9
    assert (finished / "accuracy.png").stat().st_size > 5000


@pytest.mark.long
def test_it_runs_on_every_backend_with_the_same_bits(workplace, finished, tmp_path):
    digests = {}
    for backend in BACKENDS.built_in:
        out = tmp_path / backend
        checkpoint = str(finished / "checkpoint.safetensors")
        source = str(workplace / "images")
        run.main(
            [
                "--backend",
                backend,
                "--checkpoint",
                checkpoint,
                "--data",
                source,
                "--samples",
                "2",
                "--out",
                str(out),
            ]
        )
        summary = json.loads((out / "summary.json").read_text())
        digests[backend] = summary["raster_digest"]
        assert ("input" in summary["spike_rate"]) == (finished.name == "poisson")
        assert np.any([rate for name, rate in summary["spike_rate"].items() if name != "input"])
    assert len(set(digests.values())) == 1


def test_its_configuration_fits_the_new_checkpoint(finished, tmp_path, capsys):
    run.main(
        [
            "--config",
            str(finished / "config.toml"),
            "--samples",
            "2",
            "--out",
            str(tmp_path / "run"),
        ]
    )
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["n_samples"] == 2


def test_it_says_from_which_step_on_the_accuracy_is_there(finished):
    summary = json.loads((finished / "summary.json").read_text())
    with (finished / "accuracy.csv").open() as file:
        curve = [float(row["fixed"]) for row in csv.DictReader(file)]
    step = summary["within_2_points_from_step"]["fixed"]
    level = summary["ann_accuracy"] - 0.02
    if step is None:
        assert curve[-1] < level
    else:
        assert min(curve[step - 1 :]) >= level - 1e-4
        assert step == 1 or curve[step - 2] < level


def test_a_configuration_names_the_ann_and_results_are_replaced_when_asked(
    workplace, tmp_path, capsys
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("old")
    text = f'[conversion]\nann = "{workplace / "ann.safetensors"}"\nrule = "balanced"\n'
    text += f"timesteps = {T}\ncalibration = 6\n"
    (tmp_path / "c.toml").write_text(f'{text}[data]\nsource = "{workplace / "images"}"\n')
    convert.main(
        ["--config", str(tmp_path / "c.toml"), "--out", str(tmp_path / "out"), "--overwrite"]
    )
    printed = capsys.readouterr()
    assert "thresholds (balanced): conv1 " in printed.out
    assert " has 21 images of these classes, fewer than 100\n" in printed.err
    assert (
        "\naccuracy is measured on 21 images, 6 of which thresholds are chosen on; a folder with "
        in printed.err
    )
    assert 'rule = "balanced"' in (tmp_path / "out" / "config.toml").read_text()
    assert load(str(tmp_path / "out" / "checkpoint.safetensors")).network.timesteps == T


def test_parts_of_a_folder_that_share_no_image_are_measured_without_a_note(
    workplace, tmp_path, capsys
):
    for number, part in enumerate(("train", "val")):
        for folder in (workplace / "images").iterdir():
            copy = tmp_path / "images" / part / folder.name / "0.png"
            copy.parent.mkdir(parents=True)
            copy.write_bytes((folder / f"{number}.png").read_bytes())
    words = [
        "--data",
        str(tmp_path / "images"),
        "--conversion.timesteps",
        str(T),
        "--out",
        str(tmp_path / "out"),
    ]
    convert.main([str(workplace / "ann.safetensors"), *words])
    assert "thresholds are chosen on" not in capsys.readouterr().err


def test_no_download_overrules_the_configuration(tmp_path, monkeypatch, refused):
    def end(config: Config, **__: object) -> None:
        raise InputError(f"download is {config.data.download}")

    monkeypatch.setattr("spikesam.pipeline.conversion.convert_checkpoint.convert_checkpoint", end)
    (tmp_path / "c.toml").write_text("data.download = true\n")
    given = convert.main, "--config", tmp_path / "c.toml"
    assert (refused(*given), refused(*given, "--no-download")) == tuple(
        f"error: download is {each}" for each in (True, False)
    )


def test_both_networks_and_their_accuracy(workplace, tmp_path, capsys):
    out = tmp_path / "out"
    words = [
        "--data",
        str(workplace / "images"),
        "--samples",
        "22",
        "--seeds",
        "3",
        "--out",
        str(out),
    ]
    export.main([str(workplace / "snn.safetensors"), *words])
    for precision in ("float32", "fixed"):
        network, _ = read_network(out / f"network.{precision}.safetensors")
        assert network.precision == precision
    report = json.loads((out / "accuracy.json").read_text())
    assert len(report["accuracy_by_seed"]["fixed"]) == 3
    assert 0 <= report["fixed"] <= 1
    printed = capsys.readouterr()
    assert "21 images × 3 seeds" in printed.out
    assert " has 21 images of these classes, fewer than 22\n" in printed.err


def test_one_seed_prints_no_interval_and_the_network_goes_to_nir_too(workplace, tmp_path, capsys):
    path, file = workplace / "snn.safetensors", tmp_path / "small.nir"
    words = [
        "--data",
        str(workplace / "images"),
        "--samples",
        "3",
        "--seeds",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    export.main([str(path), *words, "--nir", str(file)])
    line, *rest = capsys.readouterr().out.splitlines()
    assert "3 images × 1 seed: float32 " in line
    assert "interval" not in line
    report = json.loads((tmp_path / "out" / "accuracy.json").read_text())
    assert (report["low"], report["high"], report["seeds"]) == (None, None, 1)
    assert from_nir(file).sha256 == read_network(path)[0].sha256
    assert any(str(file) in each for each in rest)
