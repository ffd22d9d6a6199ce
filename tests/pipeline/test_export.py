"""The export command: both networks and what rounding costs."""

import json

from spikesam.backends.network.storage import read_network
from spikesam.pipeline import export
from spikesam.pipeline.imports.nir.read import from_nir
from tests.pipeline.small_networks import class_folders, small_checkpoint


def test_both_networks_and_their_accuracy(tmp_path, capsys):
    path = small_checkpoint(tmp_path / "small.safetensors")
    images = class_folders(tmp_path / "images", per_class=3)
    out = tmp_path / "out"
    export.main([str(path), "--data", str(images), "--seeds", "3", "--out", str(out)])
    for precision in ("float32", "fixed"):
        network, _ = read_network(out / f"network.{precision}.safetensors")
        assert network.precision == precision
    report = json.loads((out / "accuracy.json").read_text())
    assert len(report["accuracy_by_seed"]["fixed"]) == 3
    assert 0 <= report["fixed"] <= 1
    assert "9 images × 3 seeds" in capsys.readouterr().out


def test_one_seed_prints_no_interval_and_the_network_goes_to_nir_too(tmp_path, capsys):
    path = small_checkpoint(tmp_path / "small.safetensors")
    images = class_folders(tmp_path / "images", per_class=1)
    file = tmp_path / "small.nir"
    export.main([str(path), "--data", str(images), "--seeds", "1", "--out", str(tmp_path / "out"), "--nir", str(file)])
    line, *rest = capsys.readouterr().out.splitlines()
    assert "3 images × 1 seed: float32 " in line
    assert "interval" not in line
    report = json.loads((tmp_path / "out" / "accuracy.json").read_text())
    assert (report["low"], report["high"], report["seeds"]) == (None, None, 1)
    assert from_nir(file).sha256 == read_network(path)[0].sha256
    assert any(str(file) in each for each in rest)
