"""A run that is cut off anywhere ends, once resumed, in the same raster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from recordings import hdf5
from recordings.errors import InputError, RasterError
from recordings.lock import out_lock
from recordings.raster import shards as shards_module
from recordings.raster import writer as writer_module
from recordings.raster.reader import RasterReader
from recordings.raster.schema import RasterHeader
from recordings.raster.shards import shard_path
from recordings.raster.writer import RasterWriter
from recordings.schema import SampleTable

from .rasters import HEADER, batch, record, samples

COUNT = 50

SLOW_RUN = f"""
import sys, time
from pathlib import Path
from recordings.lock import out_lock
from recordings.raster.writer import RasterWriter
from tests.recordings.rasters import HEADER, batch, samples
with out_lock(Path(sys.argv[1])):
    writer = RasterWriter(Path(sys.argv[1]), HEADER, samples({COUNT}))
    while len(writer.remaining):
        writer.append(batch(HEADER, writer.remaining[:3]))
        print(len(writer.remaining), flush=True)
        time.sleep(0.02)
"""


def digest(path: Path) -> str:
    with RasterReader(path) as raster:
        raster.verify()
        return raster.raster_digest


def resume(directory: Path, header: RasterHeader = HEADER, count: int = COUNT) -> tuple[RasterWriter, list[int]]:
    """Finish what is there; returns the writer and the positions that were computed."""
    writer = RasterWriter(directory, header, samples(count), resume=True)
    computed = writer.remaining.tolist()
    while len(writer.remaining):
        writer.append(batch(header, writer.remaining[:7]))
    writer.finalize()
    return writer, computed


def interrupted(directory: Path, done: int = 40, header: RasterHeader = HEADER) -> RasterWriter:
    """Record the first samples only, in shards of 16, and walk away without a flush."""
    writer = RasterWriter(directory, header, samples(COUNT))
    writer.append(batch(header, range(done)))
    return writer


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest(record(tmp_path_factory.mktemp("whole"), COUNT))


@pytest.mark.parametrize("left", [44, 32, 5])
def test_killed_in_the_middle_and_resumed_gives_the_same_digest(tmp_path: Path, expected: str, left: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", SLOW_RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) <= left:
            break
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    assert not (tmp_path / "raster.h5").exists()
    with out_lock(tmp_path):  # the lock went with the process
        _, computed = resume(tmp_path)
    kept = COUNT - len(computed)
    assert kept % 16 == 0
    assert kept >= (COUNT - left) // 16 * 16
    assert digest(tmp_path / "raster.h5") == expected
    assert not (tmp_path / "raster.parts").exists()


def test_a_flush_keeps_what_was_appended(tmp_path: Path, expected: str) -> None:
    interrupted(tmp_path, 19).flush()
    _, computed = resume(tmp_path)
    assert computed == list(range(19, COUNT))
    assert digest(tmp_path / "raster.h5") == expected


def test_slow_samples_are_flushed_before_sixteen_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(writer_module, "time", SimpleNamespace(monotonic=lambda: now))
    writer = RasterWriter(tmp_path, HEADER, samples(COUNT))
    now += 9
    writer.append(batch(HEADER, range(2)))
    assert not list(writer.parts.glob("*.h5"))
    now += 1
    writer.append(batch(HEADER, range(2, 3)))
    assert [path.name for path in writer.parts.glob("*.h5")] == ["00000000.h5"]


def test_large_samples_are_flushed_before_they_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "FLUSH_BYTES", 1)
    writer = interrupted(tmp_path, 3)
    assert len(list(writer.parts.glob("*.h5"))) == 3


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def swap(path: Path) -> None:
    """A perfectly valid shard, of other samples."""
    path.write_bytes(path.with_name("00000000.h5").read_bytes())


@pytest.mark.parametrize("damage", [truncate, flip, empty, swap])
def test_a_damaged_shard_is_dropped_counted_and_computed_again(
    tmp_path: Path, expected: str, damage: Callable[[Path], None]
) -> None:
    interrupted(tmp_path)
    damage(tmp_path / "raster.parts" / "00000016.h5")
    writer, computed = resume(tmp_path)
    assert writer.dropped == 1
    assert computed == [*range(16, 32), *range(32, COUNT)]
    assert digest(tmp_path / "raster.h5") == expected


@pytest.mark.parametrize("damage", [truncate, flip, empty, swap, Path.unlink])
def test_damage_while_the_run_goes_on_is_found_before_shards_are_merged(
    tmp_path: Path, expected: str, damage: Callable[[Path], None]
) -> None:
    writer = interrupted(tmp_path, COUNT)
    damage(tmp_path / "raster.parts" / "00000016.h5")
    with pytest.raises(RasterError, match=r"00000016.h5: .*; all other samples are kept in .*parts, and --resume"):
        writer.finalize()
    assert not (tmp_path / "raster.h5").exists()
    _, computed = resume(tmp_path)
    assert computed == [*range(16, 32), 48, 49] or computed == list(range(16, 32))
    assert digest(tmp_path / "raster.h5") == expected


def test_only_shards_that_changed_are_opened_by_a_child_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inspected: list[object] = []
    monkeypatch.setattr(hdf5, "inspect", lambda source, opener, where: inspected.append(source))
    writer = RasterWriter(tmp_path, HEADER, samples(40))
    while len(writer.remaining):
        writer.append(batch(HEADER, writer.remaining[:8]))
    record(tmp_path / "other", 40)
    assert inspected == []  # nothing but its own shards was merged
    changed = shard_path(tmp_path / "raster.parts", 16)
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1  # of the same size
    changed.write_bytes(content)
    with suppress(RasterError):
        writer.finalize()
    assert inspected == [changed]


def test_shards_are_not_removed_beside_a_damaged_raster(tmp_path: Path) -> None:
    interrupted(tmp_path, COUNT).flush()
    parts = {path.name: path.read_bytes() for path in (tmp_path / "raster.parts").iterdir()}
    flip(resume(tmp_path)[0].path)
    (tmp_path / "raster.parts").mkdir()  # as if killed between the rename and the removal
    for name, content in parts.items():
        (tmp_path / "raster.parts" / name).write_bytes(content)
    with pytest.raises(RasterError, match="raster.h5: "):
        RasterWriter(tmp_path, HEADER, samples(COUNT), resume=True)
    assert {path.name for path in (tmp_path / "raster.parts").iterdir()} == set(parts)


def test_a_gap_is_filled_with_samples_in_order(tmp_path: Path, expected: str) -> None:
    interrupted(tmp_path, 48)
    (tmp_path / "raster.parts" / "00000016.h5").unlink()
    writer, computed = resume(tmp_path)  # in batches of 7, of which one holds samples 30, 31 and 48
    assert (writer.dropped, computed) == (0, [*range(16, 32), 48, 49])
    assert digest(tmp_path / "raster.h5") == expected


def test_half_written_files_do_not_count(tmp_path: Path, expected: str) -> None:
    interrupted(tmp_path)
    for folder in (tmp_path, tmp_path / "raster.parts"):
        (folder / ".spikesam-0123456789abcdef.tmp").write_bytes(b"\x89HDF")
    writer, computed = resume(tmp_path)
    assert (writer.dropped, computed) == (0, list(range(32, COUNT)))
    assert digest(tmp_path / "raster.h5") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["raster.h5"]


def test_killed_before_the_manifest_was_written(tmp_path: Path, expected: str) -> None:
    (tmp_path / "raster.parts").mkdir()
    _, computed = resume(tmp_path)
    assert computed == list(range(COUNT))
    assert digest(tmp_path / "raster.h5") == expected


def test_resuming_nothing_begins(tmp_path: Path, expected: str) -> None:
    resume(tmp_path / "new")
    assert digest(tmp_path / "new" / "raster.h5") == expected


def test_resuming_a_finished_raster_leaves_it_untouched(tmp_path: Path) -> None:
    path = record(tmp_path, COUNT)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    (tmp_path / "raster.parts").mkdir()  # killed after the rename, before the parts were removed
    writer = RasterWriter(tmp_path, HEADER, samples(COUNT), resume=True)
    assert writer.remaining.tolist() == []
    assert writer.finalize() == path
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert not (tmp_path / "raster.parts").exists()


def test_resumed_on_another_backend_says_so_and_keeps_the_run(tmp_path: Path, expected: str) -> None:
    interrupted(tmp_path)
    begun_as = json.loads((tmp_path / "raster.parts" / "manifest.json").read_bytes())["run_uuid"]
    resume(tmp_path, replace(HEADER, backend="lava"))
    assert digest(tmp_path / "raster.h5") == expected
    with RasterReader(tmp_path / "raster.h5") as raster:
        assert (raster.header.backend, raster.header.device) == ("torch+lava", "cpu")
        assert raster.run_uuid == begun_as


@pytest.mark.parametrize("finished", [False, True])
def test_earlier_work_is_refused_without_resume(tmp_path: Path, finished: bool) -> None:
    if finished:
        record(tmp_path, COUNT)
    else:
        interrupted(tmp_path)
    name = "raster.h5" if finished else "raster.parts"
    with pytest.raises(InputError, match=rf"{name}: already exists; use --resume to continue that run, or another"):
        RasterWriter(tmp_path, HEADER, samples(COUNT))


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "seed is 7 there, 8 here"),
        ({"network_sha256": "cd" * 32}, f"network_sha256 is '{'ab' * 32}' there, '{'cd' * 32}' here"),
        ({"dataset": "other"}, "dataset is 'made-up' there, 'other' here"),
        ({"timesteps": 9}, "timesteps is 6 there, 9 here"),
        ({"precision": "float32"}, "precision is 'fixed' there, 'float32' here"),
        ({"layers": HEADER.layers[:2]}, "layers are input, conv1, fc1 there, input, conv1 here"),
        (
            {"layers": (*HEADER.layers[:2], replace(HEADER.layers[2], shape=(8, 1, 1)))},
            r"layers are LayerSpec\(name='fc1', number=2, shape=\(7, 1, 1\).* there, .*shape=\(8, 1, 1\).* here",
        ),
    ],
)
def test_another_run_cannot_be_resumed(tmp_path: Path, finished: bool, change: dict[str, object], message: str) -> None:
    if finished:
        record(tmp_path, COUNT)
    else:
        interrupted(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=f"cannot resume: {message}; use the same settings, or another --out"):
        RasterWriter(tmp_path, replace(HEADER, **change), samples(COUNT), resume=True)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_other_samples_cannot_be_resumed(tmp_path: Path) -> None:
    interrupted(tmp_path)
    table = samples(COUNT)
    with pytest.raises(InputError, match="there are 50 samples there, 49 here"):
        RasterWriter(tmp_path, HEADER, samples(COUNT - 1), resume=True)
    with pytest.raises(InputError, match="sample 4 has index 12 there, 13 here"):
        RasterWriter(tmp_path, HEADER, SampleTable(table.index + (table.index == 12), table.label), resume=True)
    with pytest.raises(InputError, match="sample 49 has label 1 there, 2 here"):
        RasterWriter(tmp_path, HEADER, SampleTable(table.index, table.label + (table.index == 147)), resume=True)


def test_float32_is_resumed_only_where_it_began(tmp_path: Path) -> None:
    header = replace(HEADER, precision="float32")
    interrupted(tmp_path, header=header)
    with pytest.raises(InputError, match="backend is 'torch' there, 'lava' here; device is 'cpu' there, 'cuda' here"):
        RasterWriter(tmp_path, replace(header, backend="lava", device="cuda"), samples(COUNT), resume=True)
    resume(tmp_path, header)
    assert digest(tmp_path / "raster.h5") == digest(record(tmp_path / "whole", COUNT, header))


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"format": "spike-raster-parts", "schema_version": 2}'])
def test_an_unreadable_manifest_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    interrupted(tmp_path)
    (tmp_path / "raster.parts" / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read .*; remove .*raster\.parts to start again"):
        RasterWriter(tmp_path, HEADER, samples(COUNT), resume=True)
    assert len(list((tmp_path / "raster.parts").glob("*.h5"))) == 2


def test_a_second_process_is_refused_at_once(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from recordings.lock import out_lock
with out_lock(Path(sys.argv[1])):
    print("held")
"""
    ask = [sys.executable, "-c", code, str(tmp_path)]
    with out_lock(tmp_path):
        second = subprocess.run(ask, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    last = second.stderr.splitlines()[-1]
    assert last.startswith(f"recordings.errors.InputError: {tmp_path}: another run is writing here, expected one run")
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "held\n"


def test_only_the_thread_that_holds_a_directory_may_hold_it_again(tmp_path: Path) -> None:
    def hold() -> None:
        with out_lock(tmp_path):
            assert (tmp_path / ".lock").exists()

    with out_lock(tmp_path), ThreadPoolExecutor(1) as pool:
        hold()
        assert (tmp_path / ".lock").exists()  # released by the outer block alone
        with pytest.raises(InputError, match="another run is writing here"):
            pool.submit(hold).result()
    hold()


def test_nothing_is_left_of_a_lock_under_which_nothing_was_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there", "new/deep/folder"):
        with pytest.raises(InputError, match="refused"), out_lock(tmp_path / name):
            raise InputError("refused")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    with out_lock(tmp_path / "new" / "deep"):
        (tmp_path / "new" / "deep" / "result").touch()
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["deep", "result"]


def test_two_directories_are_two_locks(tmp_path: Path) -> None:
    with out_lock(tmp_path / "a"), out_lock(tmp_path / "b" / "deep"):
        assert (tmp_path / "b" / "deep").is_dir()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_place_of_the_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=f"{name}: cannot be written"), out_lock(tmp_path / name):
        raise AssertionError("held")
    with pytest.raises(InputError, match=f"{name}: cannot write there .*; nothing was recorded; choose another --out"):
        RasterWriter(tmp_path / name, HEADER, samples(COUNT))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write there"):
        RasterWriter(tmp_path, HEADER, samples(COUNT))
