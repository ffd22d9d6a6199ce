"""scripts/setup.sh in a toy project whose Pythons are shell scripts that write down what they are
asked to do; and the locks that it installs from.
"""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from spikesam.backends.lava._backend import INSTALL

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-nodeps.lock")
TOOLS = ("bash", "cat", "chmod", "cksum", "cp", "dirname", "mkdir", "rm")

# Answers what the script asks, makes "environments" that hold itself, and logs what pip is told.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  *version_info*) echo {version} ;;
  *{missing}*) exit 1 ;;
  *_base_executable*) echo {path} ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip "*) echo "$*" >>"$HOME/log"; exit "${{PIP_STATUS:-0}}" ;;
esac
"""
INSTALLED = [
    "-m pip install --no-deps --require-hashes -r requirements.lock",
    "-m pip install --quiet --no-deps --require-hashes --no-build-isolation "
    "--ignore-requires-python"
    " -r requirements-nodeps.lock",
    "-m pip install --quiet --no-deps --no-build-isolation -e .",
]


def add_python(project: Path, version: str, missing: str = "nothing") -> None:
    """A Python on PATH, which lacks a module."""
    path = project.parent / "bin" / f"python{version}"
    path.write_text(PYTHON.format(version=version, missing=missing, path=path))
    path.chmod(0o755)


def set_up(project: Path, umask: int = -1, **environment: str) -> tuple[int, str, list[str]]:
    """Run the script: its exit code, what it writes to stderr, and what pip has been told."""
    home = project.parent
    (home / "log").write_text("")
    done = subprocess.run(
        [project / "scripts" / "setup.sh"],
        env={"PATH": str(home / "bin"), "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
    )
    return done.returncode, done.stderr, (home / "log").read_text().splitlines()


def test_without_a_suitable_python_it_says_so_and_with_one_it_installs_once(tmp_path: Path) -> None:
    project, tools = tmp_path / "project", tmp_path / "bin"
    (project / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup.sh", project / "scripts")
    for file in ("pyproject.toml", *LOCKS):
        (project / file).write_text("numpy==2.5.5\n")
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))

    versions = "3.13 3.12 3.11 3.14"
    add_python(project, "3.10")
    add_python(project, "3.13", missing="ensurepip")
    code, error, told = set_up(project)
    assert (code, told) == (2, [])
    assert error == (
        f"error: none of Python {versions} with its venv module on PATH, in pyenv or through uv; "
        "install one (on Debian and Ubuntu: apt install python3-venv), or uv\n"
    )
    code, error, told = set_up(project, PYTHON="3.13")
    assert (code, told) == (2, [])
    assert error == (
        "error: PYTHON=3.13 does not run, or has no venv module; "
        f"give one of Python {versions}, or its path\n"
    )
    assert not (project / ".venv").exists()

    add_python(project, "3.12")
    assert set_up(project, umask=0) == (0, "", INSTALLED)
    made = [project / ".venv", *(project / ".venv").rglob("*")]
    others_write = stat.S_IWGRP | stat.S_IWOTH
    assert not any(path.stat().st_mode & others_write for path in made)
    assert set_up(project) == (0, "", [])

    (project / "requirements.lock").write_text("changed\n")
    code, error, told = set_up(project, PIP_STATUS="1")
    assert (code, told) == (2, INSTALLED[:1])
    assert re.fullmatch("error: a package could not be fetched, or is not the one .*\n", error)
    (project / ".venv" / "half-installed").touch()
    assert set_up(project) == (0, "", INSTALLED)
    assert not (project / ".venv" / "half-installed").exists()


def test_lava_is_installed_in_the_version_that_its_error_names() -> None:
    assert INSTALL.split()[-1] in (ROOT / "requirements-nodeps.in").read_text().split()


@pytest.mark.parametrize("lock", [*LOCKS, "scripts/audit.lock", ".ci/requirements.lock"])
def test_every_locked_package_has_a_version_and_a_hash(lock: str) -> None:
    entries = (ROOT / lock).read_text().replace(" \\\n", " ").splitlines()
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==\S+ ", entry) and "--hash=sha256:" in entry, entry
