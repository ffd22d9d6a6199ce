"""HDF5 files in memory are looked for nowhere on the disk."""

import sys
from pathlib import Path

import pytest

from spikesam.recordings.new_hdf5 import hdf5_in_memory
from tests.campaign.outside import Outside


@pytest.mark.skipif(sys.platform != "linux", reason="watches a folder as Linux lets it")
def test_a_file_in_memory_is_not_opened_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here := tmp_path / "here").mkdir()
    for number in range(1000):
        (here / f"h5py_in_memory_nonfile_{number}").touch()
    monkeypatch.chdir(here)
    outside = Outside(here)
    with hdf5_in_memory() as (file, image):
        file.attrs["number"] = 3
        content = image()
    with hdf5_in_memory(content) as (file, image):
        file.attrs["other"] = 4
        content = image()
    with hdf5_in_memory(content) as (file, _):
        assert dict(file.attrs) == {"number": 3, "other": 4}
    (tmp_path / "results").mkdir()
    outside.check(tmp_path / "results", "", may_read=False)
