"""Opening files of unknown origin waits for nobody; HDF5 in memory opens none; places that nobody
else may write.
"""

import io
import os
import sys
from pathlib import Path

import pytest

import spikesam
from spikesam.common.files import is_private, open_file, similar_file
from spikesam.pipeline.export import main as export
from spikesam.recordings.new_hdf5 import hdf5_in_memory
from tests.campaign.outside import Outside

KERNEL = Path("/proc/kmsg")  # an ordinary file by its mode, which waits for the next message
WAITS = pytest.mark.skipif(
    not os.access(KERNEL, os.R_OK), reason="this user cannot read /proc/kmsg"
)
pytestmark = [
    pytest.mark.timeout(30),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes and permissions"),
]


def test_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "empty").touch()
    for name, content in (("a", b"abc"), ("b", b"abc"), ("empty", b"")):
        with open_file(tmp_path / name) as file:
            assert file.read() == content


def test_a_pipe_a_device_and_a_folder_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull), tmp_path):
        with pytest.raises(OSError, match="not an ordinary file"):
            open_file(path)
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "none")


@WAITS
def test_of_a_file_that_declares_no_bytes_none_are_read() -> None:
    with open_file(KERNEL) as file:
        assert file.read() == b""


def test_a_checkpoint_that_is_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """export looked at its first bytes, to tell a recording from a network."""
    os.mkfifo(tmp_path / "snn.safetensors")
    with pytest.raises(SystemExit) as stopped:
        export(
            [str(tmp_path / "snn.safetensors"), "--samples", "4", "--out", str(tmp_path / "new")]
        )
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/snn.safetensors: not a file")


@WAITS
def test_files_that_lead_to_the_kernel(tmp_path: Path) -> None:
    readers = {
        "a.safetensors": spikesam.load,
        "a.h5": spikesam.open_raster,
        "a.sam.h5": spikesam.open_maps,
        "a.bin": spikesam.read_events,
        "a.model": lambda path: spikesam.diff(path, path),
        "a.png": lambda path: spikesam.simulate("cluttered-digits", path),
    }
    for name, reader in readers.items():
        (tmp_path / name).symlink_to(KERNEL)
        with pytest.raises(spikesam.InputError, match=name):
            reader(str(tmp_path / name))


NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "above" / "folder").mkdir(parents=True)
    for path in (tmp_path / "above", tmp_path / "above" / "folder"):
        path.chmod(0o755)
    return tmp_path / "above" / "folder"


def test_what_only_its_owner_writes_is_private(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place)  # a link counts as what it leads to
    (place / "file").touch(0o600)
    assert is_private(place) and is_private(tmp_path / "link") and is_private(place / "file")
    (place / "file").chmod(0o666)
    assert not is_private(place / "file")
    for mode in (0o777, 0o757, 0o1777):
        place.chmod(mode)
        assert not is_private(place) and not is_private(tmp_path / "link")


@pytest.mark.parametrize(("mode", "private"), [(0o777, False), (0o1777, True)])
def test_a_folder_above_may_be_shared_if_it_is_sticky(
    place: Path, mode: int, private: bool
) -> None:
    place.parent.chmod(mode)
    assert is_private(place) == private


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)
@pytest.mark.parametrize("which", ["the place", "a folder above"])
def test_what_belongs_to_another_user_is_not(place: Path, which: str) -> None:
    os.chown(place if which == "the place" else place.parent, NOBODY, NOBODY)
    assert not is_private(place)


def test_a_group_with_other_members_is_somebody_else(place: Path) -> None:
    group = next((number for number in os.getgroups() if number not in (0, os.getegid())), None)
    if os.geteuid() == 0:
        group = NOBODY
    if group is None:
        pytest.skip("this user has no other group")
    os.chown(place, -1, group)
    place.chmod(0o775)
    assert not is_private(place)


@pytest.mark.skipif(sys.platform != "linux", reason="watches a folder as Linux lets it")
def test_a_file_in_memory_is_not_opened_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here := tmp_path / "here").mkdir()
    for number in range(1000):
        (here / f"h5py_in_memory_nonfile_{number}").touch()
    monkeypatch.chdir(here)
    outside = Outside(here)
    memory = io.BytesIO()
    with hdf5_in_memory(memory, "w") as file:
        file.attrs["number"] = 3
    with hdf5_in_memory(memory, "r+") as file:
        file.attrs["other"] = 4
    with hdf5_in_memory(memory, "r+") as file:
        assert dict(file.attrs) == {"number": 3, "other": 4}
    (tmp_path / "results").mkdir()
    outside.check(tmp_path / "results", "", may_read=False)


def test_a_name_that_only_ends_alike_is_no_misspelt_one(tmp_path: Path) -> None:
    (tmp_path / "one.png").touch()
    assert similar_file(tmp_path / "two.png") == ""
    assert similar_file(tmp_path / "ones.png") == f"; did you mean {tmp_path / 'one.png'}?"
