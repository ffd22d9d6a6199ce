"""What publishes a release and audits packages: versions that agree, answers that are no good news."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = ("pyproject.toml", "CITATION.cff", "CHANGELOG.md")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that name the version, with a section for 1.2.3 in each."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "release.sh", tmp_path / ".ci")
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    for name, pattern, line in (
        ("pyproject.toml", r'^version = ".*"$', 'version = "1.2.3"'),
        ("CITATION.cff", r"^version: .*$", "version: 1.2.3"),
        ("CHANGELOG.md", r"^## Unreleased$", "## 1.2.3, 2027-01-31"),
    ):
        text, count = re.subn(pattern, line, (tmp_path / name).read_text(), flags=re.MULTILINE)
        assert count == 1
        (tmp_path / name).write_text(text)
    return tmp_path


def checked(folder: Path, *words: str) -> tuple[int, str]:
    ended = subprocess.run([".ci/release.sh", *words], cwd=folder, capture_output=True, text=True)
    return ended.returncode, (ended.stdout + ended.stderr).strip()


def test_versions_that_agree(clone: Path) -> None:
    assert checked(clone, "v1.2.3") == (
        0,
        "version 1.2.3: tag, pyproject.toml, CITATION.cff and CHANGELOG.md agree",
    )


@pytest.mark.parametrize("name", FILES)
def test_one_that_does_not_agree_is_named(clone: Path, name: str) -> None:
    (clone / name).write_text((clone / name).read_text().replace("1.2.3", "1.2.4"))
    code, said = checked(clone, "v1.2.3")
    assert code == 1 and said.startswith(f"error: {name} has no ")


@pytest.mark.parametrize("words", [(), ("1.2.3",), ("v1.2",), ("v1.2.3-rc1",)])
def test_other_tags_are_refused(clone: Path, words: tuple[str, ...]) -> None:
    code, said = checked(clone, *words)
    assert code == 2 and "expected one such as v0.1.0" in said


def test_the_job_that_may_publish_runs_no_code_of_the_tests() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    allowed = {name: job.get("permissions", {}).get("id-token") for name, job in jobs.items()}
    assert allowed == {"build": None, "publish": "write"}
    run = [step["run"] for step in jobs["publish"]["steps"] if "run" in step]
    assert all(line.startswith(("python3 -m venv", ".venv-uv/bin/")) for line in run)
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert used and all(
        re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in used
    )  # a tag may move


summary = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "audit.py"))["summary"]
CLEAN = {"name": "numpy", "version": "2.5.5", "vulns": []}
UNKNOWN = {"name": "norse", "skip_reason": "not found"}
FOUND = {
    "name": "pillow",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}],
}
OPEN = {"name": "x", "version": "2", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}


def test_what_was_found_is_named() -> None:
    assert list(summary({"dependencies": [CLEAN, FOUND, UNKNOWN, OPEN]})) == [
        "pillow 1.0: PYSEC-1, fixed in 1.1, 2.0",
        "x 2: PYSEC-2, fixed in no release",
        "2 known vulnerabilities in 3 packages; 1 could not be audited",
    ]


def test_nothing_known_is_no_audit() -> None:
    assert list(summary({"dependencies": [UNKNOWN, UNKNOWN]})) == [
        "no audit: the service knows none of 2 packages; is it in reach?"
    ]
