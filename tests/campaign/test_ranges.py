"""Spoiled files of a killed run: --resume computes their samples again, or refuses and keeps the rest."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st

from .damage import damage
from .faults import Boundaries
from .formats.checkpoints import edit_json
from .hostile import TEXTS
from .isolated import LINUX, attempt, cases
from .process import run
from .workplace import RECIPES, measured, same_results

pytestmark = LINUX
NAME = "event"
FILES = ("gone", "copy", "rename", "swap", "link", "outside", "folder", "odd", "tmp", "none")


@pytest.fixture(scope="session")
def stopped(workplace: Path) -> Path:
    """A folder in which a run was killed when it had finished two ranges."""
    folder = workplace / "stopped"
    attempt(kill_with_ranges, workplace, folder, seconds=120, memory=4 << 30)
    return folder


def kill_with_ranges(base: Path, folder: Path) -> None:
    """Leave such a folder."""
    shutil.copytree(base / "work", folder)
    parts = folder / "out" / "raster.parts"
    run(RECIPES[NAME].words, folder, Boundaries(when=lambda: len(list(parts.glob("0*.range"))) >= 2).install)
    assert len(list(parts.glob("0*.range"))) >= 2, "the run ended before it had finished two ranges"
    measured(base, NAME)


@cases(short=3, long=200)
@given(random=st.randoms(use_true_random=False))
def test_a_spoiled_range(workplace: Path, stopped: Path, random: Random) -> None:
    case = Path(tempfile.mkdtemp(prefix="case-", dir=workplace))
    work = case / "work"
    shutil.copytree(stopped, work)
    note(f"{spoil(work / 'out' / 'raster.parts', random)} in {work}")
    event(attempt(resume, workplace, work, seconds=60, memory=2 << 30))
    shutil.rmtree(case)


def spoil(parts: Path, random: Random) -> str:
    """Damage or edit the file of a range or the job; or let files be missing, copied, renamed, linked, or folders."""
    ranges = sorted(parts.glob("*.range"))
    path, other = random.choice(ranges), random.choice(ranges)
    what = random.choice(("bytes", "bytes", "record", "job", "job", "files"))
    if what == "bytes":
        data, done = damage(random, path.read_bytes(), other.read_bytes())
        path.write_bytes(data)
    elif what == "record":
        digest, line, sections = path.read_bytes().split(b"\n", 2)
        done = edit_json(random, content := json.loads(line))
        path.write_bytes(b"\n".join([digest, json.dumps(content).encode(), sections]))
    elif what == "job":
        path = parts / "job.json"
        done = edit_job(path, random)
    else:
        done = random.choice(FILES)
        edit_files(parts, path, other, done, random)
    return f"{path.name}: {done}"


def edit_job(path: Path, random: Random) -> str:
    """Damage or edit the JSON, or write another text."""
    what = random.choice(["damage", "damage", "edit", "edit", "other"])
    if what == "damage":
        data, done = damage(random, path.read_bytes(), path.read_bytes())
        path.write_bytes(data)
        return done
    if what == "edit":
        content = json.loads(path.read_text())
        done = edit_json(random, content)
        path.write_text(json.dumps(content))
        return done
    done = random.choice(("", "{}", "[]", "null", "[" * 100000, '{"a":' * 100000, "1" * 5000, *TEXTS))
    path.write_text(done, "utf-8", "surrogatepass")
    return f"{done!r:.40}"


def edit_files(parts: Path, path: Path, other: Path, what: str, random: Random) -> None:
    """One of `FILES`."""
    if what in ("gone", "link", "outside", "folder"):
        path.unlink()
    if what == "copy":
        shutil.copy(path, parts / (random.choice(("00000001", "99999999", "x", "-1", "00000016", "٣")) + ".range"))
    elif what == "rename":
        path.rename(parts / random.choice(("00000005.range", "16.range", "0000.range", "1e1.range")))
    elif what == "swap":
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif what == "link":
        path.symlink_to(other.name)
    elif what == "outside":
        path.symlink_to(random.choice(("/dev/zero", "/etc/passwd", "missing", path.name)))
    elif what == "folder":
        path.mkdir()
    elif what == "odd":
        (parts / random.choice(("notes.txt", "\x1b[2J.range", "a" * 200 + ".range", ".range"))).write_text("mine")
    elif what == "tmp":
        (parts / random.choice(("00000000.range.tmp", "x.tmp", "job.json.tmp"))).mkdir()
    elif what == "none":
        shutil.rmtree(parts)
        parts.mkdir()


def resume(base: Path, work: Path) -> str:
    """The run ends with the results of an undisturbed one, or refuses and keeps the ranges that were not spoiled."""
    ranges = {path: path.read_bytes() for path in (work / "out").rglob("*.range") if path.is_file()}
    ended = run((*RECIPES[NAME].words, *RECIPES[NAME].again), work)
    ended.check()
    if ended.code:
        lost = [path.name for path, content in ranges.items() if not path.exists() or path.read_bytes() != content]
        assert len(lost) <= 1, f"refused ({ended.line[:150]}), and {', '.join(lost)} are gone"
        return "refused"
    same_results(work, base, NAME)
    return "identical"
