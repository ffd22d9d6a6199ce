"""What is recorded in a folder survives a kill, is resumed to the same bits, and is never mixed
with another run.
"""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from spikesam.common.errors import InputError
from spikesam.common.lock import out_lock
from spikesam.common.progress import Tracker
from spikesam.pipeline.config import Config
from spikesam.pipeline.engine import folder as folder_module
from spikesam.pipeline.engine.compute_folder import compute_all
from spikesam.pipeline.engine.folder import begin
from spikesam.pipeline.engine.job import MOST_SAMPLES, Job, JobSpec, Keep, join, read_spec
from spikesam.pipeline.engine.merge import WholeRaster, merge
from spikesam.pipeline.engine.range_file import RangeFile
from spikesam.recordings import hdf5
from spikesam.recordings.errors import RasterError
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.writer import remove_parts
from spikesam.recordings.schema import SampleTable
from spikesam.recordings.writer import SampleRecord
from tests.pipeline.engine.jobs import (
    COUNT,
    add,
    begun,
    contents,
    digest,
    files,
    finish,
    interrupted,
    job,
)
from tests.recordings.rasters import HEADER, record, samples

CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 8}, "seed is 7 there, 8 here"),
    "network": (
        {"network_sha256": "cd" * 32},
        f"network_sha256 is '{'ab' * 32}' there, '{'cd' * 32}' here",
    ),
    "data": ({"dataset": "other"}, "dataset is 'made-up' there, 'other' here"),
    "timesteps": ({"timesteps": 9}, "timesteps is 6 there, 9 here"),
    "precision": ({"precision": "float32"}, "precision is 'fixed' there, 'float32' here"),
    "layers": (
        {"layers": HEADER.layers[:2]},
        "layers are input, conv1, fc1 there, input, conv1 here",
    ),
    "shape": (
        {"layers": (*HEADER.layers[:2], replace(HEADER.layers[2], shape=(8, 1, 1)))},
        r"layers are LayerSpec\(name='fc1', number=2, shape=\(7, 1, 1\).* there, .*shape=\(8, 1, "
        r"1\).* here",
    ),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest(record(tmp_path_factory.mktemp("whole"), COUNT))


def test_slow_and_large_samples_are_written_before_sixteen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(folder_module, "time", SimpleNamespace(monotonic=lambda: now))
    store = begun(tmp_path / "slow")
    now += 9
    add(store, range(2))
    assert not files(tmp_path / "slow")
    now += 1
    add(store, [2])
    assert files(tmp_path / "slow") == ["00000000.range"]
    monkeypatch.setattr(folder_module, "FLUSH_BYTES", 1)
    interrupted(tmp_path / "large", 3)
    assert len(files(tmp_path / "large")) == 3


def flip(path: Path, place: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "a bit": flip,
    "a bit of its record": lambda path: flip(path, 100),
    "empty": lambda path: path.write_bytes(b""),
    "a perfectly valid file, of other samples": lambda path: path.write_bytes(
        path.with_name("00000000.range").read_bytes()
    ),
    "gone": Path.unlink,
}


class Disturbed(RuleBasedStateMachine):
    """The folder of a run that is killed, damaged, merged too early and resumed in any order."""

    expected = ""  # digest of a run that nobody disturbed

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.kept, self.damaged = set[int](), 0

    @property
    def paths(self) -> list[Path]:
        return [self.folder / "raster.parts" / name for name in files(self.folder)]

    @rule(count=st.integers(1, COUNT), flushed=st.booleans())
    def record_and_walk_away(self, count: int, flushed: bool) -> None:
        store = begun(self.folder)
        missing = [position for position in range(COUNT) if position not in self.kept]
        assert (list(store.missing), store.dropped) == (missing, self.damaged)
        add(store, missing[:count])
        if flushed:
            store.flush()
        spec = read_spec(self.folder / "raster.parts" / "job.json")
        self.damaged = 0
        self.kept = {
            position for path in self.paths for position in RangeFile(path, spec).record.positions
        }
        assert self.kept >= set(range(COUNT)) - set(missing)
        assert len(set(missing[:count]) - self.kept) <= (0 if flushed else 15)

    @precondition(lambda self: self.kept and not self.damaged)
    @rule(data=st.data(), damage=st.sampled_from(sorted(DAMAGES)))
    def damage(self, data: st.DataObject, damage: str) -> None:
        path = data.draw(st.sampled_from(self.paths))
        spec, content = read_spec(self.folder / "raster.parts" / "job.json"), path.read_bytes()
        lost = set(RangeFile(path, spec).record.positions)
        DAMAGES[damage](path)
        if (
            not path.exists() or path.read_bytes() != content
        ):  # the first file may be replaced by itself
            self.kept -= lost
            self.damaged = int(path.exists())

    @precondition(lambda self: len(self.kept) < COUNT and any(self.folder.iterdir()))
    @rule()
    def merge_too_early(self) -> None:
        says = r"damaged, |belongs to no range of this run|ranges are not finished"
        with pytest.raises(InputError, match=says):
            merge(self.folder, begin(self.folder, job()).spec)
        assert not (self.folder / "raster.h5").exists()

    def teardown(self) -> None:
        missing = [position for position in range(COUNT) if position not in self.kept]
        store, computed = finish(self.folder)
        assert (computed, store.dropped) == (missing, self.damaged)
        assert (
            store.notes
            == ["1 damaged files dropped; their samples are computed again"] * self.damaged
        )
        assert digest(self.folder / "raster.h5") == self.expected
        assert sorted(path.name for path in self.folder.iterdir()) == [
            "network.safetensors",
            "raster.h5",
        ]
        shutil.rmtree(self.folder)


@pytest.mark.long
def test_a_disturbed_run_ends_as_if_nothing_had_happened(expected: str) -> None:
    Disturbed.expected = expected
    run_state_machine_as_test(
        Disturbed, settings=settings(max_examples=6, stateful_step_count=8, deadline=None)
    )


def test_what_this_process_wrote_is_opened_by_no_child_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspected: list[object] = []
    monkeypatch.setattr(hdf5, "inspect", lambda source, opener, where: inspected.append(source))
    finish(tmp_path)
    assert inspected == []


def test_files_are_not_removed_beside_a_damaged_raster(tmp_path: Path) -> None:
    interrupted(tmp_path, COUNT).flush()
    parts = {path.name: path.read_bytes() for path in (tmp_path / "raster.parts").iterdir()}
    finish(tmp_path)
    flip(tmp_path / "raster.h5")
    (tmp_path / "raster.parts").mkdir()  # as if killed between the rename and the removal
    for name, content in parts.items():
        (tmp_path / "raster.parts" / name).write_bytes(content)
    with pytest.raises(RasterError, match=r"raster\.h5: "):
        begun(tmp_path)
    assert {path.name for path in (tmp_path / "raster.parts").iterdir()} == set(parts)


def test_resuming_a_finished_raster_leaves_it_untouched(tmp_path: Path) -> None:
    finish(tmp_path)
    path = tmp_path / "raster.h5"
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    again = job()
    finish(tmp_path, again)
    assert again.backend.simulated == []
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert not (tmp_path / "raster.parts").exists()


def test_resumed_on_another_backend_says_so_and_keeps_the_run(
    tmp_path: Path, expected: str
) -> None:
    interrupted(tmp_path)
    begun_as = json.loads((tmp_path / "raster.parts" / "job.json").read_bytes())["run_uuid"]
    finish(tmp_path, job(replace(HEADER, backend="lava")))
    assert digest(tmp_path / "raster.h5") == expected
    with RasterReader(tmp_path / "raster.h5") as raster:
        assert (raster.header.backend, raster.header.device) == ("torch+lava", "cpu")
        assert raster.run_uuid == begun_as


@pytest.mark.parametrize(
    "name", ["network.safetensors", "config.toml", "summary.json", "report.html"]
)
def test_files_that_no_run_wrote_are_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name}: no run wrote this file; choose another out"):
        begin(tmp_path, job(), Config())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"format": "spikesam-job", "schema_version": 2}']
)
def test_unfinished_work_needs_resume_and_a_readable_job(tmp_path: Path, content: bytes) -> None:
    interrupted(tmp_path)
    says = (
        r"raster\.parts: a run that has not finished left this; continue that run with "
        r"resume=True, or choose"
    )
    with pytest.raises(InputError, match=says):
        begun(tmp_path, resume=False)
    (tmp_path / "raster.parts" / "job.json").write_bytes(content)
    with pytest.raises(InputError, match=r"job\.json: cannot be read .*; choose another out"):
        begun(tmp_path)
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(
    ("field", "value", "finding"),
    [
        ("spikes", 2**64 - 1, "spikes is 18446744073709551615: Input should be a valid boolean"),
        ("spikes", "yes", "spikes is 'yes': Input should be a valid boolean"),
        ("maps", "backend", "spikes are kept and maps are 'backend', expected spikes, maps of"),
        ("maps", 5, "maps is 5: Input should be 'spikes' or 'backend'"),
        ("stepped", 2**64 - 1, "stepped is 18446744073709551615: Input should be less than"),
        ("steps", [0, "x"], "steps.1 is 'x': Input should be a valid integer"),
        ("index", [[0], [0]], "index.0 is [0]: Input should be a valid integer"),
        ("label", [2**64 - 1], "label.0 is 18446744073709551615: Input should be less than"),
        ("gamma", "x", "gamma is 'x': Input should be a valid number"),
        ("variant", 2**64 - 1, "variant is 18446744073709551615: Input should be 'paper'"),
        ("timesteps", 3.5, "header.timesteps is 3.5: Input should be a valid integer"),
        ("seed", "x", "header.seed is 'x': Input should be a valid integer"),
        ("layers", [0] * 1001, "Value error, 1,001 layers, expected at most 1,000"),
        ("class_names", ["é"], "it holds other letters than ASCII"),
    ],
)
def test_a_job_with_a_wrong_value_is_one_line(
    tmp_path: Path, field: str, value: Any, finding: str
) -> None:
    interrupted(tmp_path)
    path = tmp_path / "raster.parts" / "job.json"
    content = json.loads(path.read_text())
    (content if field in content else content["header"])[field] = value
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(finding)) as refused:
        read_spec(path)
    assert str(refused.value).startswith(f"{path}: cannot be read (")


def job_of(n_samples: int) -> JobSpec:
    """A job of so many samples, with all that its file may say of each."""
    table = SampleTable(np.arange(n_samples), np.arange(n_samples) % 1000)
    return JobSpec(HEADER, table, Keep(), contents=("0123456789abcdef" * 4,) * n_samples)


@pytest.mark.long
def test_the_largest_job_is_read_again(tmp_path: Path) -> None:
    written = join(tmp_path / "job.json", job_of(MOST_SAMPLES))
    assert (tmp_path / "job.json").stat().st_size > 160_000_000
    assert read_spec(tmp_path / "job.json").identity == written.identity


def test_a_job_of_more_samples_than_can_be_read_again_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2,097,153 samples, expected at most 2,097,152 in one"):
        join(tmp_path / "job.json", job_of(MOST_SAMPLES + 1))
    assert not (tmp_path / "job.json").exists()


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_than_the_finished_one_cannot_be_resumed(tmp_path: Path, change: str) -> None:
    finish(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(
        InputError,
        match=f"cannot resume: {CHANGES[change][1]}; use the same settings, or another out",
    ):
        begun(tmp_path, job(replace(HEADER, **CHANGES[change][0])))
    assert before == contents(tmp_path)


def test_other_samples_cannot_be_resumed(tmp_path: Path) -> None:
    interrupted(tmp_path)
    index, label = samples(COUNT).index, samples(COUNT).label
    for other, message in (
        ({"count": COUNT - 1}, "there are 50 samples there, 49 here"),
        (
            {"table": SampleTable(index + (index == 12), label)},
            "sample 4 has index 12 there, 13 here",
        ),
        (
            {"table": SampleTable(index, label + (index == 147))},
            "sample 49 has label 1 there, 2 here",
        ),
    ):
        with pytest.raises(InputError, match=message):
            begun(tmp_path, job(**other))


def test_float32_is_resumed_only_where_it_began(tmp_path: Path) -> None:
    header = replace(HEADER, precision="float32")
    interrupted(tmp_path, header=header)
    with pytest.raises(
        InputError,
        match="backend is 'torch' there, 'lava' here; device is 'cpu' there, 'cuda' here",
    ):
        begun(tmp_path, job(replace(header, backend="lava", device="cuda")))
    finish(tmp_path, job(header))
    assert digest(tmp_path / "raster.h5") == digest(record(tmp_path / "whole", COUNT, header))


@pytest.mark.parametrize("name", ["file", "file/below", "locked"])
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    if name == "locked" and os.getuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "locked").mkdir(0o500)
    with pytest.raises(InputError, match=f"{name}: cannot be written"), out_lock(tmp_path / name):
        raise AssertionError("locked")
    with pytest.raises(
        InputError, match=f"{name}: cannot write there .*; nothing was recorded; choose another out"
    ):
        begun(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


RANGES = ["00000000.range", "00000016.range", "00000032.range", "00000048.range"]


def whole_run(folder: Path, given: Job | None = None) -> Path:
    with out_lock(folder):
        compute_all(folder, begin(folder, given or job()), Tracker())
        remove_parts(folder / "raster.parts")
    return folder / "raster.h5"


def test_an_unfinished_raster_is_removed_and_resumed_from_its_ranges(
    tmp_path: Path, expected: str
) -> None:
    store = begun(tmp_path, whole=True)
    add(store, range(35))
    store.flush()
    assert list(tmp_path.glob(".spikesam-*.tmp"))
    store._whole.close()
    assert not list(tmp_path.glob(".spikesam-*.tmp"))
    other = job(replace(HEADER, backend="lava"))
    with RasterReader(whole_run(tmp_path, other)) as raster:
        assert (raster.raster_digest, raster.header.backend) == (expected, "torch+lava")
    assert other.backend.simulated == list(range(35, COUNT))


def test_what_a_kill_leaves_is_removed_and_resumed(tmp_path: Path, expected: str) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from spikesam.common.lock import out_lock
from tests.pipeline.engine.jobs import add, begun
with out_lock(Path(sys.argv[1])):
    add(store := begun(Path(sys.argv[1]), whole=True), range(35))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (files(tmp_path), len(list(tmp_path.glob(".spikesam-*.tmp")))) == (RANGES[:2], 1)
    (tmp_path / "raster.parts" / ".spikesam-0123456789abcdef.tmp").write_bytes(b"half of a range")
    again = job()
    assert digest(whole_run(tmp_path, again)) == expected
    assert again.backend.simulated == list(range(32, COUNT))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.safetensors", "raster.h5"]


@pytest.mark.parametrize("failing", [0, 16, 48])
def test_a_full_disk_leaves_it_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str, failing: int
) -> None:
    plain, failures = WholeRaster.add, []

    def full(whole: WholeRaster, records: list[SampleRecord]) -> None:
        if records[0].position == failing and not failures:
            failures.append(failing)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(whole, records)

    monkeypatch.setattr(WholeRaster, "add", full)
    assert digest(whole_run(tmp_path)) == expected
    assert failures == [failing]


def test_ranges_take_its_place_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    store = begun(tmp_path, whole=True)
    add(store, range(24))

    def full(_: int) -> None:
        if list(tmp_path.glob(".spikesam-*")):  # the unfinished raster takes the space
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        add(store, range(24, 34))
    assert files(tmp_path) == RANGES[:2]
    add(store, range(34, COUNT))
    store.flush()
    assert files(tmp_path) == RANGES
    merge(tmp_path, begin(tmp_path, job()).spec)
    assert digest(tmp_path / "raster.h5") == expected


def test_a_range_that_is_damaged_meanwhile_does_no_harm_to_what_is_in_memory(
    tmp_path: Path, expected: str
) -> None:
    add(store := begun(tmp_path, whole=True), range(COUNT))
    store.flush()
    path = tmp_path / "raster.parts" / RANGES[1]
    flip(path, -1)
    merge(tmp_path, store._job.spec, whole_raster=store._whole, checked=store.checked)
    assert digest(tmp_path / "raster.h5") == expected
