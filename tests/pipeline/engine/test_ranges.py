"""Ranges computed apart, in any order and number of processes,
are the run that one process makes.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from PIL import Image, ImageOps

from spikesam.pipeline import merge, run
from spikesam.pipeline.config import load_config
from spikesam.pipeline.engine import compute_folder, folder
from spikesam.pipeline.engine.folder import FolderStore
from spikesam.pipeline.engine.job import Job, read_spec
from tests.campaign.forge import reseal, unseal
from tests.pipeline.engine.jobs import contents, digests, results
from tests.pipeline.small_networks import run_words

ROOT = Path(__file__).parents[3]
PARTS = "raster.parts"
SAMPLES = 40  # three ranges: 16, 16 and 8
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A network and images of its classes."""
    named = run_words(tmp_path_factory.mktemp("workplace"), per_class=14)
    return [
        *named,
        "--samples",
        str(SAMPLES),
        "--backend",
        "event",
        "--figures",
        "2",
        "--no-report",
    ]


@pytest.fixture(scope="module")
def alone(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    run.main([*options, "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def parts(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All ranges, by two processes, not merged."""
    out = tmp_path_factory.mktemp("parts") / "run"
    for part in ("2/2", "1/2"):
        run.main([*options, "--out", str(out), "--range", part])
    return out


@pytest.fixture
def copied(parts: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(parts, tmp_path / "run"))


def test_parts_merged_are_the_run(alone: Path, copied: Path) -> None:
    merge.main([str(copied)])
    assert digests(copied) == digests(alone)
    assert results(copied) == results(alone)
    assert {path.name for path in copied.iterdir()} == {path.name for path in alone.iterdir()}


def test_spikes_that_are_dropped_leave_the_same_maps(
    options: list[str], alone: Path, tmp_path: Path
) -> None:
    run.main([*options, "--out", str(tmp_path / "run"), "--keep", "maps"])
    found, expected = digests(tmp_path / "run"), digests(alone)
    assert expected.pop("spikes") == found["of"]
    assert found == expected
    assert results(tmp_path / "run") == results(alone)
    assert not (tmp_path / "run" / "raster.h5").exists()
    assert not any(path.name.endswith(".parts") for path in (tmp_path / "run").iterdir())


def test_a_finished_run_without_spikes_is_not_computed_again(
    options: list[str],
    alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, computed = tmp_path / "run", list[int]()

    def compute(job: Job, store: FolderStore, advance: Callable[[int], None]) -> None:
        computed.extend(store.missing)
        honest(job, store, advance)

    honest = compute_folder.compute
    run.main([*options, "--out", str(out), "--keep", "maps"])
    monkeypatch.setattr(compute_folder, "compute", compute)
    before = contents(out)
    run.main([*options, "--out", str(out), "--keep", "maps", "--resume"])
    assert not computed and "was finished before" in capsys.readouterr().out
    assert contents(out) == before
    flip(out / "sam.h5")
    run.main([*options, "--out", str(out), "--keep", "maps", "--resume"])
    assert computed == list(range(SAMPLES))
    assert digests(out)["maps"] == digests(alone)["maps"]


def test_a_finished_run_is_not_lost_to_another(
    options: list[str], tmp_path: Path, refused: Refused
) -> None:
    out = tmp_path / "run"
    arguments = [*options, "--out", str(out), "--keep", "maps"]
    run.main(arguments)
    before = contents(out)
    for other in (["--seed", "3"], ["--gamma", "0.3"], ["--samples", "7"], ["--steps", "none"]):
        for way in (["--resume"], ["--range", "1/2"]):
            said = refused(run.main, *arguments, *way, *other)
            assert "cannot resume: a run with other settings is finished there" in said
    assert contents(out) == before


def test_more_pictures_compute_nothing(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*options, "--out", str(tmp_path / "run"), "--keep", "maps"]
    run.main([*arguments, "--figures", "1", "--report"])
    assert (
        "no report.html: the page shows spikes, and this run keeps maps alone"
        in capsys.readouterr().out
    )
    for figures, says in (("0", False), ("1", False), ("2", True)):
        capsys.readouterr()
        run.main([*arguments, "--figures", figures, "--resume"])
        said = capsys.readouterr().out
        assert "nothing is computed again" in said
        assert ("1 of 2 pictures are there: more need the spikes" in said) == says


def test_a_finished_range_is_not_computed_again(options: list[str], copied: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*.*") if path.is_file()}
    run.main([*options, "--out", str(copied), "--range", "1/1"])
    assert {path: path.stat().st_mtime_ns for path in before} == before


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def copy_first(out: Path, name: str) -> None:
    shutil.copy(out / PARTS / "00000000.range", out / PARTS / name)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda out: flip(out / PARTS / "00000016.range"), "00000016.range: damaged, its"),
        (
            lambda out: (out / PARTS / "00000016.range").unlink(),
            "1 of 3 ranges are not finished (1)",
        ),
        (
            lambda out: (out / PARTS / "00000008.range").touch(),
            "00000008.range: damaged, its digest does not fit",
        ),
        (
            lambda out: (out / PARTS / "notes.txt").touch(),
            "notes.txt: belongs to no range of this run",
        ),
        (
            lambda out: copy_first(out, "00000008.range"),
            "00000008.range: belongs to no range of this run",
        ),
        (
            lambda out: copy_first(out, "00000016.range"),
            "00000016.range: belongs to no range of this run",
        ),
        (lambda out: (out / PARTS / "job.json").write_text("{}"), "job.json: cannot be read"),
        (lambda out: (out / PARTS / "job.json").unlink(), "has no ranges to merge"),
        (
            lambda out: (out / "config.toml").write_text(""),
            "config.toml: is not of the run in this folder (dataset is",
        ),
    ],
)
def test_gaps_overlaps_and_strangers_are_refused(
    copied: Path, damage: Callable[[Path], object], says: str, refused: Refused
) -> None:
    damage(copied)
    before = contents(copied)
    assert says in refused(merge.main, str(copied))
    assert contents(copied) == before


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--seed", "3"], "seed is 0 there, 3 here"),
        (["--gamma", "0.3"], "gamma is 0.5 there, 0.3 here"),
        (["--keep", "maps"], "keep is 'all' there, 'maps' here"),
        (["--samples", "39"], "there are 40 samples there, 39 here"),
    ],
)
def test_others_are_refused(
    options: list[str], copied: Path, extra: list[str], says: str, refused: Refused
) -> None:
    before = contents(copied)
    said = refused(run.main, *options, "--out", str(copied), "--range", "1/2", *extra)
    assert says in said and "cannot resume" in said
    assert contents(copied) == before


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        *(
            (["--range=" + part], f"--range: got {part!r}, expected K/N")
            for part in ("0/2", "3/2", "1", "a/b", "1/0")
        ),
        *(
            (["--range=" + part], f"--range: got {part!r}, expected K/N")
            for part in ("-1/2", "1/2/3", "")
        ),
        (["--layers", "conv9"], "no layer 'conv9'; did you mean conv"),
    ],
)
def test_parts_and_layers_that_are_none(
    options: list[str], tmp_path: Path, extra: list[str], says: str, refused: Refused
) -> None:
    assert says in refused(run.main, *options, "--out", tmp_path / "run", *extra)
    assert "--range needs --out" in refused(run.main, *options, "--range", "1/2")
    assert not list(tmp_path.iterdir())


SLOW = """
import sys, time
from spikesam.pipeline import run
from spikesam.pipeline.engine.folder import FolderStore
add = FolderStore.add
FolderStore.add = lambda *all: (time.sleep({pause}), add(*all))
run.main(sys.argv[1:])
"""


def begun(options: list[str], out: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    """A process that computes all ranges, of which the first is finished; it takes `pause` seconds
    for each sample.
    """
    command = [
        sys.executable,
        "-c",
        SLOW.format(pause=pause),
        *options,
        "--out",
        str(out),
        "--range",
        "1/1",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    deadline = time.monotonic() + 60
    while not (out / PARTS / "00000000.range").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return process


@pytest.mark.long
def test_a_stopped_process_is_passed(
    options: list[str], alone: Path, tmp_path: Path, refused: Refused
) -> None:
    out = tmp_path / "run"
    stopped = begun(options, out, pause=0.05)
    try:
        time.sleep(0.2)
        stopped.send_signal(signal.SIGSTOP)
        run.main([*options, "--out", str(out), "--range", "1/1"])
        assert "another run is writing here" in refused(merge.main, str(out))
        kept = {path: path.read_bytes() for path in out.rglob("*.range")}
    finally:
        stopped.send_signal(signal.SIGCONT)
    assert "ranges 0 to 2 of 3 are finished" in stopped.communicate()[0]
    assert {path: path.read_bytes() for path in out.rglob("*.range")} == kept
    merge.main([str(out)])
    assert digests(out) == digests(alone)


def test_ranges_that_others_have_claimed_come_last(
    options: list[str], alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run.main([*options, "--out", str(out), "--range", "3/3"])
    (out / PARTS / ".00000000.range.claim").touch()
    run.main([*options, "--out", str(out), "--range", "1/1"])
    times = {path.name[:8]: path.stat().st_mtime_ns for path in (out / PARTS).glob("*.range")}
    assert sorted(times, key=times.__getitem__) == ["00000032", "00000016", "00000000"]
    assert not list((out / PARTS).glob(".*"))
    merge.main([str(out)])
    assert digests(out) == digests(alone)


def test_of_two_processes_on_one_range_the_slower_one_goes_on_from_what_is_there(
    options: list[str], alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def late(
        job: Job, store: FolderStore, advance: Callable[[int], None], workers: int | None
    ) -> None:
        """Somebody else begins after this one, and has finished five samples before it wrote
        anything.
        """
        if len(store.missing) == 16:
            other = FolderStore(out, replace(job), range(store.missing[0], store.missing[-1] + 1))
            other.missing = other.missing[:5]
            honest(job, other, workers=1)
        honest(job, store, advance, workers)

    honest = folder.compute
    monkeypatch.setattr(folder, "compute", late)
    run.main([*options, "--out", str(out), "--range", "1/1"])
    names = [path.name for path in sorted((out / PARTS).glob("*.range"))]
    assert names == [f"{first:08d}.range" for first in (0, 5, 16, 21, 32)]
    merge.main([str(out)])
    assert digests(out) == digests(alone)


@pytest.mark.long
def test_merging_waits_for_others(
    options: list[str], alone: Path, copied: Path, refused: Refused
) -> None:
    (copied / PARTS / "00000016.range").unlink()
    process = begun(options, copied, pause=0.1)
    while not list((copied / PARTS).glob(".*.claim")) and process.poll() is None:
        time.sleep(0.01)
    before = {path.name for path in copied.iterdir()}
    for command, words in (
        (merge.main, [str(copied)]),
        (run.main, [*options, "--out", str(copied), "--resume"]),
    ):
        said = refused(command, *words)
        assert (
            f"another run is writing here, expected one run per directory (pid {process.pid} on "
            in said
        )
    assert {path.name for path in copied.iterdir()} == before
    assert "are finished" in process.communicate()[0]
    merge.main([str(copied)])
    assert digests(copied) == digests(alone)
    assert {path.name for path in copied.iterdir()} == {path.name for path in alone.iterdir()}


def test_a_part_after_merging_leaves_nothing(
    options: list[str], copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge.main([str(copied)])
    before = contents(copied)
    capsys.readouterr()
    run.main([*options, "--out", str(copied), "--range", "1/2"])
    assert "was finished before; nothing is computed again" in capsys.readouterr().out
    assert contents(copied) == before
    assert not (copied / PARTS).exists()


def test_a_finished_raster_can_be_explained_in_another_way_by_parts(
    options: list[str], copied: Path
) -> None:
    merge.main([str(copied)])
    before = digests(copied)
    run.main([*options, "--out", str(copied), "--range", "1/1", "--gamma", "0.3"])
    merge.main([str(copied)])
    assert (
        digests(copied)["spikes"] == before["spikes"] and digests(copied)["maps"] != before["maps"]
    )


@pytest.mark.long
def test_ctrl_c_says_how_many_samples_are_kept(options: list[str], tmp_path: Path) -> None:
    process = begun(options, tmp_path / "run", pause=0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0]
    assert re.fullmatch(
        rf"interrupted; \d\d of 40 samples are kept in {tmp_path}/run, and the same .*\n", said
    )
    assert process.returncode == 130


def test_some_layers_have_the_bits_and_maps_they_always_have(
    options: list[str], alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run.main([*options, "--out", str(out), "--layers", "conv2"])
    with h5py.File(out / "raster.h5") as few, h5py.File(alone / "raster.h5") as every:
        assert list(few["layers"]) == [
            "002_conv2",
            list(every["layers"])[-1],
        ]  # the last one always
        for name in few["layers"]:
            assert (
                few[f"layers/{name}/digest"][:].tolist()
                == every[f"layers/{name}/digest"][:].tolist()
            )
    with h5py.File(out / "sam.h5") as few, h5py.File(alone / "sam.h5") as every:
        assert (few["layers/002_conv2/sum"][:] == every["layers/002_conv2/sum"][:]).all()


def test_a_finished_run_explained_anew_is_merged_by_its_new_settings(
    options: list[str], alone: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(alone, tmp_path / "run"))
    config, with_page = out / "config.toml", [word for word in options if word != "--no-report"]
    run.main([*with_page, "--out", str(out), "--gamma", "2.5", "--range", "1/1"])
    assert load_config(config).run.gamma == 2.5
    config.write_text(config.read_text().replace("gamma = 2.5", "gamma = 0.5"))
    merge.main([str(out)])
    assert '"gamma":2.5' in (out / "report.html").read_text()  # as the maps are
    run.main([*options, "--out", str(out), "--gamma", "0.2", "--resume"])
    assert load_config(config).run.gamma == 0.2


@pytest.fixture
def bitmaps(options: list[str], tmp_path: Path) -> list[str]:
    """The same command, with images whose size in bytes does not depend on their pixels."""
    images = Path(options[3])
    for path in images.rglob("*.png"):
        target = (tmp_path / "images" / path.relative_to(images)).with_suffix(".bmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").save(target)
    return [*options[:3], str(tmp_path / "images"), *options[4:]]


def repaint(options: list[str]) -> None:
    """Other pixels under the same names, in files of the same sizes."""
    for path in Path(options[3]).rglob("*.bmp"):
        ImageOps.invert(Image.open(path)).save(path)


CHANGED = r"images\S* \S+\.bmp and \d+ more: changed since the run began; restore what it was"


def test_pixels_that_changed_are_refused(
    bitmaps: list[str], tmp_path: Path, refused: Refused
) -> None:
    shared = [*bitmaps, "--out", str(tmp_path / "run")]
    run.main([*shared, "--range", "1/2"])
    repaint(bitmaps)
    for words in (["--range", "2/2"], ["--resume"]):
        assert re.search(CHANGED, refused(run.main, *shared, *words))
    repaint(bitmaps)
    run.main([*shared, "--range", "2/2"])
    repaint(bitmaps)  # before merging
    assert re.search(CHANGED, refused(run.main, *shared, "--resume"))
    assert not (tmp_path / "run" / "raster.h5").exists()
    repaint(bitmaps)
    for _ in range(2):
        run.main([*shared, "--resume"])
    repaint(bitmaps)
    assert "images were changed since that run" in refused(run.main, *shared, "--resume")
    assert not (tmp_path / "run" / PARTS).exists()


def test_paths_from_one_folder_are_found_from_another(
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(Path(options[3]).parent)
    run.main(
        [
            "--checkpoint",
            Path(options[1]).name,
            "--data",
            "images",
            *options[4:],
            "--out",
            str(tmp_path / "run"),
            "--range",
            "1/1",
        ]
    )
    monkeypatch.chdir(tmp_path)
    merge.main(["run"])
    assert "pictures: run/figures" in capsys.readouterr().out


def test_a_folder_of_others_does_not_choose_which_pictures_are_shown(
    bitmaps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Refused
) -> None:
    folder, private = tmp_path / "run", tmp_path / "private"
    run.main([*bitmaps, "--out", str(folder), "--range", "1/1"])
    capsys.readouterr()
    shutil.copytree(Path(bitmaps[3]), private)
    config, job = folder / "config.toml", folder / PARTS / "job.json"
    config.write_text(config.read_text().replace(bitmaps[3], str(private)))
    job.write_text(json.dumps(json.loads(job.read_text()) | {"contents": []}))
    identity = read_spec(job).identity
    for path in (folder / PARTS).glob("*.range"):
        record, sections = unseal(path)
        reseal(path, record | {"job": identity}, sections)
    refusal = refused(merge.main, str(folder))
    assert "config.toml: is not of the run in this folder (dataset is" in refusal
    assert not (folder / "pictures.zip").exists() and not (folder / "report.html").exists()
