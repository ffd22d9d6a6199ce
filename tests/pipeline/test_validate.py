"""Files of maps are checked by those who know their methods: titles instead of names, and unknown methods refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikesam
from spikesam.pipeline.validate import main
from tests.recordings.maps import HEADER, write


def test_maps_are_called_by_their_title(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(tmp_path / "sam.h5"))]) == 0
    shown = capsys.readouterr().out
    assert "Spike Activation Map of 3 samples, T = 6, gamma 0.5, variant paper, include_current True; sums" in shown
    assert shown.endswith(f"raster digest {'cd' * 32}\nvalid\n\n")


def test_the_folder_of_a_run_is_its_raster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spikesam.write_raster(tmp_path / "raster.h5", {"conv1": np.ones((2, 1, 2, 2, 2), bool)})
    assert main([str(tmp_path)]) == 0
    assert f"{tmp_path}  9" in capsys.readouterr().out


def test_maps_that_no_method_makes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "sam.h5", replace(HEADER, method="cam"))
    assert main([str(path)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith(f"error: {path}: method is 'cam', expected one of sam, ")
