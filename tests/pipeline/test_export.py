"""The export command, and the arithmetic of its paired comparison."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backends.network.storage import read_network
from pipeline import export
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


def test_paired_accuracy_by_hand():
    # Two seeds of two images, labels 0 and 1. float32: 2/2 then 1/2; fixed: 1/2 then 1/2; differences -0.5 and 0.
    labels = np.array([0, 1], np.int32)
    predictions = {"float32": np.array([0, 1, 0, 0]), "fixed": np.array([0, 0, 1, 1])}
    report = export.paired_accuracy(predictions, labels, 2)
    assert (report["float32"], report["fixed"], report["difference"]) == (0.75, 0.5, -0.25)
    half = 1.96 * np.std([-0.5, 0], ddof=1) / np.sqrt(2)
    assert (report["low"], report["high"]) == (pytest.approx(-0.25 - half), pytest.approx(-0.25 + half))


def test_images_without_labels_are_refused(tmp_path, capsys):
    path = small_checkpoint(tmp_path / "small.safetensors")
    class_folders(tmp_path / "images", per_class=1)
    with pytest.raises(SystemExit) as stop:
        export.main([str(path), "--data", str(tmp_path / "images" / "pear" / "0.png"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "holds images without labels" in capsys.readouterr().err
