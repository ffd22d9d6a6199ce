"""Conversion from Python: what comes back is what was written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import spikesam
from spikesam.recordings.errors import InputError
from tests.pipeline.small_networks import class_folders, small_ann

CONFIG = {"conversion": {"timesteps": 9, "calibration": 3, "rule": "balanced"}}


def test_what_comes_back_is_what_was_written(tmp_path: Path) -> None:
    ann = small_ann(tmp_path / "ann.safetensors")
    for part in ("train", "val"):
        class_folders(tmp_path / "images" / part, per_class=2)
    given = {"data": str(tmp_path / "images"), "samples": 4, "device": "cpu"}
    conversion = spikesam.convert(ann, tmp_path / "out", CONFIG, **given)
    names = ("checkpoint.safetensors", "accuracy.csv", "accuracy.png", "summary.json")
    assert conversion.files == tuple(tmp_path / "out" / name for name in names)
    assert conversion.checkpoint.network.timesteps == 9
    written = spikesam.load(conversion.files[0])
    assert written.network.sha256 == conversion.checkpoint.network.sha256 == conversion.summary.network_sha256
    table = pd.read_csv(conversion.files[1]).set_index("t")
    pd.testing.assert_frame_equal(table, conversion.accuracy, atol=5e-5, check_exact=False)
    with pytest.raises(InputError, match=f"{tmp_path / 'out'}: holds files already"):
        spikesam.convert(ann, tmp_path / "out", CONFIG, **given)
    again = spikesam.convert(ann, tmp_path / "out", CONFIG, **given, overwrite=True)
    assert again.checkpoint.network.sha256 == conversion.checkpoint.network.sha256
