"""A short campaign with fixed seeds, in a process of its own; docs/trust.md says what longer ones found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .outcomes import Outcome
from .replay import REGRESSIONS, again
from .subjects import SUBJECTS

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="watches processes as Linux shows them"),
]
FORMATS = ("rasters", "maps", "checkpoints", "zips", "images", "events", "toml")


def conduct(tmp_path: Path, *arguments: str) -> tuple[str, list[dict]]:
    """Run the command; gives what it printed, and the results."""
    command = [sys.executable, "-m", "tests.campaign", "--out", str(tmp_path / "out"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode in (0, 1), done.stderr
    return done.stdout, [json.loads(line) for line in (tmp_path / "out" / "trials.jsonl").read_text().splitlines()]


def test_damaged_files_of_every_format(tmp_path: Path) -> None:
    shown, results = conduct(tmp_path, "--only", ",".join(FORMATS), "--trials", "80", "--seed", "20")
    assert not [result for result in results if Outcome(result["outcome"]).failed], shown
    assert len(results) == 80
    assert {result["subject"] for result in results} == set(FORMATS)
    counts = {outcome: sum(result["outcome"] == outcome for result in results) for outcome in Outcome}
    assert counts[Outcome.REFUSED] > 40
    assert counts[Outcome.IDENTICAL] > 2


@pytest.mark.parametrize("subject", ["kills-event", "kills-part"])
def test_a_killed_run_is_continued(subject: str, tmp_path: Path) -> None:
    shown, results = conduct(tmp_path, "--only", subject, "--trials", "1", "--seed", "3")
    assert [result["outcome"] for result in results] == ["identical"], shown


@pytest.mark.parametrize("kept", sorted(REGRESSIONS.iterdir()), ids=lambda path: path.name)
def test_what_failed_once_fails_no_more(kept: Path, tmp_path: Path) -> None:
    """Each folder is a small case that once failed; its name begins with the subject."""
    (result,) = again(SUBJECTS[kept.name.partition("-")[0]], [kept], tmp_path)
    assert not result.outcome.failed, result


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    from .__main__ import main

    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "python -m tests.campaign --minutes 5 --seed 1" in shown
    assert all(name in shown for name in SUBJECTS)
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "raster", "--trials", "1"])
    assert stopped.value.code == 2
