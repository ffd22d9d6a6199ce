"""Opening files of unknown origin never waits: not for a writer of a pipe, not for what the kernel has to say."""

import os
from pathlib import Path

import pytest

import spikesam
from spikesam.pipeline.export import main as export
from spikesam.recordings.files import open_file

KERNEL = Path("/proc/kmsg")  # an ordinary file by its mode, which waits for the next message
WAITS = pytest.mark.skipif(not os.access(KERNEL, os.R_OK), reason="this user cannot read /proc/kmsg")
pytestmark = pytest.mark.timeout(30)


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
        export([str(tmp_path / "snn.safetensors"), "--samples", "4", "--out", str(tmp_path / "new")])
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
