"""Hostile files and folders at every entry point: refused in one line or valid, and nothing
executed, read or left.
"""

import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.campaign.attacks import Done, attack
from tests.campaign.entries import ENTRIES, build_entries, examine
from tests.campaign.isolated import LINUX, attempt, cases, only_long, tried

pytestmark = LINUX
SHORT = [
    "validate",
    "run --range",
    "convert",
    "export raster",
    "from_nir",
    "read_events",
    "simulate",
    "py report",
]
SHORT += ["train --resume"]


@pytest.fixture(scope="session")
def folders(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entries")
    attempt(build_entries, workplace, folder, seconds=300, memory=4 << 30)
    return folder


def copied(folders: Path) -> Path:
    """A case of its own; it stays, if the test fails."""
    case = Path(tempfile.mkdtemp(prefix="case-", dir=folders))
    for part in ("work", "outside"):
        shutil.copytree(folders / part, case / part, symlinks=True)
    return case


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=only_long) for name in ENTRIES]
)
@cases(short=1, long=400)
@given(seed=st.integers(0, 1 << 64))
def test_a_hostile_input(folders: Path, name: str, seed: int) -> None:
    case = copied(folders)
    done = attack(
        Random(f"{name} {seed}"), case / "work", ENTRIES[name].reads.split(), case / "outside"
    )
    note(f"{ENTRIES[name].line}: {done.text}; in {case / 'work'}")
    tried(examine, name, case, done, seconds=60, memory=ENTRIES[name].memory)
    shutil.rmtree(case)


LINKS = [
    ("report", "run/raster.h5"),
    ("merge", "parts/figures"),
    ("merge", "parts/raster.parts"),
    ("run --resume", "stopped/raster.parts"),
    ("run --resume", "stopped/sam.h5"),
    ("relevance", "run/network.safetensors"),
    ("train --resume", "trained/tensorboard"),
]


@pytest.mark.parametrize(("name", "path"), LINKS)
def test_a_link_that_leads_out_of_the_folder_of_a_run_is_refused(
    folders: Path, name: str, path: str
) -> None:
    """Results would be written there, or what is there would be shown."""
    case = copied(folders)
    own = next(each for each in (case / "outside").rglob(Path(path).name))
    if (link := case / "work" / path).is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(own)
    assert "is a link that leads out of" in attempt(examine, name, case, Done("a link"), seconds=30)
    shutil.rmtree(case)
