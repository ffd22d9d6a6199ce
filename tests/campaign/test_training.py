"""Spoiled epochs of a killed training that was moved: --resume ends with the same network, or refuses in one line."""

import hashlib
import os
import pickle
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import event, given, note
from hypothesis import strategies as st

from tests.campaign.damage import damage
from tests.campaign.faults import Boundaries
from tests.campaign.formats.checkpoints import edit_json
from tests.campaign.isolated import LINUX, attempt, cases
from tests.campaign.process import run
from tests.campaign.workplace import RECIPES, all_whole, measured, same_results

pytestmark = LINUX
NAME = "train"
OTHER = ("--training.seed", "1")
EXECUTED = "executed"
FILES = ("gone", "both gone", "other", "both other", "swap", "link", "outside", "folder", "tmp")


class Command:
    """An object whose unpickling makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (EXECUTED,)


@pytest.fixture(scope="session")
def stopped(workplace: Path) -> Path:
    """A folder in which a training was killed after its first epoch, with the epochs of another one in `other`."""
    folder = workplace / "stopped-training"
    attempt(kill_after_an_epoch, workplace, folder, seconds=180, memory=4 << 30)
    return folder


def kill_after_an_epoch(base: Path, folder: Path) -> None:
    """Leave such a folder."""
    begun = folder.with_name("begun")
    shutil.copytree(base / "work", begun)
    last = begun / "out" / "epochs" / "last.ckpt"
    run(RECIPES[NAME].words, begun, Boundaries(when=last.exists).install)
    assert last.exists() and not (begun / "out" / "checkpoint.safetensors").exists(), "it was not killed in time"
    assert run((*RECIPES[NAME].words[:-1], "elsewhere", *OTHER), begun).code == 0
    shutil.move(begun / "elsewhere" / "epochs", begun / "other")
    shutil.rmtree(begun / "elsewhere")
    begun.rename(folder)
    measured(base, NAME)


@cases(short=4, long=200)
@given(random=st.randoms(use_true_random=False))
def test_a_spoiled_training(workplace: Path, stopped: Path, random: Random) -> None:
    case = Path(tempfile.mkdtemp(prefix="case-", dir=workplace))
    work = case / "work"
    shutil.copytree(stopped, work)
    done, forged = spoil(work / "out", work / "other", random)
    note(f"{done} in {work}")
    event(attempt(resume, workplace, work, forged, seconds=60, memory=4 << 30))
    shutil.rmtree(case)


def spoil(out: Path, other: Path, random: Random) -> tuple[str, bool]:
    """Spoil what lies in the folder; says what was done, and whether a seal was made anew."""
    path = out / "epochs" / random.choice(("last.ckpt", "last.ckpt", "best.ckpt"))
    what = random.choice(("bytes", "bytes", "beside", "files", "files", "code", "edit"))
    if what == "bytes":
        paths = random.choice(([path], sorted((out / "epochs").iterdir())))
        done = ", ".join(f"{each.name}: {spoil_bytes(random, each, other / 'best.ckpt')}" for each in paths)
    elif what == "beside":
        path = out / random.choice(("config.toml", "metrics.csv"))
        done = f"{path.name}: {spoil_bytes(random, path, path)}"
    elif what == "files":
        done = random.choice(FILES)
        edit_files(path, other, done, random)
    else:
        sealed = what == "edit" or random.random() < 0.5
        done = f"{path.name}: {what}{'; sealed anew' * sealed}"
        done += rewrite(path, what, sealed, random)
        if path.name == "last.ckpt" and random.random() < 0.5:
            shutil.copy(path, path.with_name("best.ckpt"))
        return done, sealed
    return done, False


def spoil_bytes(random: Random, path: Path, other: Path) -> str:
    """Damage one file."""
    data, done = damage(random, path.read_bytes(), other.read_bytes())
    path.write_bytes(data)
    return done


def edit_files(path: Path, other: Path, what: str, random: Random) -> None:
    """One of `FILES`."""
    second = path.with_name({"last.ckpt": "best.ckpt", "best.ckpt": "last.ckpt"}[path.name])
    if what in ("gone", "both gone", "link", "outside", "folder"):
        path.unlink()
    if what == "both gone":
        second.unlink()
    elif what == "other":
        shutil.copy(other / random.choice(("best.ckpt", "last.ckpt")), path)
    elif what == "both other":
        shutil.copy(other / "last.ckpt", path)
        shutil.copy(other / "best.ckpt", second)
    elif what == "swap":
        path.rename(path.with_name("kept"))
        second.rename(path)
        path.with_name("kept").rename(second)
    elif what == "link":
        path.symlink_to(random.choice((second.name, path.name, "../../other/last.ckpt")))
    elif what == "outside":
        path.symlink_to(random.choice(("/dev/zero", "/dev/stdin", "/etc/passwd", "missing")))
    elif what == "folder":
        path.mkdir()
    elif what == "tmp":
        path.with_name(".spikesam-0123456789abcdef.tmp").write_bytes(path.read_bytes()[:1000])


def rewrite(path: Path, what: str, sealed: bool, random: Random) -> str:
    """Put an object into a file whose unpickling would execute code, or edit one value; says which."""
    done = ""
    if what == "code":
        harm: Any = random.choice((Command(), {"epoch": 0, "state_dict": Command()}))
        if random.random() < 0.3:
            path.write_bytes(pickle.dumps(harm, random.randrange(6)))
        else:
            torch.save(harm, path, _use_new_zipfile_serialization=random.random() < 0.5)
    else:
        epoch = torch.load(path, weights_only=True)
        done = f": {edit_json(random, epoch)}"
        torch.save(epoch, path)
    if sealed:
        content = path.read_bytes()
        path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    return done


def resume(base: Path, work: Path, forged: bool) -> str:
    """The training ends with the network of an undisturbed one, or refuses and keeps the rest."""
    before = {path: path.read_bytes() for path in (work / "out" / "epochs").iterdir() if path.is_file()}
    ended = run((*RECIPES[NAME].words, *RECIPES[NAME].again), work)
    assert not (work / EXECUTED).exists(), "a file was executed"
    ended.check(reports=True)
    if ended.code:
        kept = {path: path.read_bytes() for path in before if path.is_file()}
        assert kept == before or forged, f"refused ({ended.line[:150]}), and epochs have changed"
        return "refused"
    if forged:
        all_whole(work)
        return "another valid"
    same_results(work, base, NAME)
    return "identical"
