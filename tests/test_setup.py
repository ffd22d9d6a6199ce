"""scripts/setup.sh in a toy project whose "Python 3.10" is a shell script that writes down what it is asked to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "setup.sh"
TOOLS = ("bash", "cat", "chmod", "cksum", "cp", "dirname", "mkdir", "rm")

# Answers the two questions the script asks, makes "environments" that hold itself, and logs pip.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  *version_info*) echo {version} ;;
  *_base_executable*) echo "$0" ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo venv >>"$LOG" ;;
  "-m pip "*) echo "pip: $*" >>"$LOG"; exit "${{PIP_STATUS:-0}}" ;;
esac
"""
UV = """#!/usr/bin/env bash
echo "uv: $*" >>"$LOG"
case "$1" in venv) mkdir -p .venv/bin && cp "$5" .venv/bin/python ;; esac
"""
BROKEN = "#!/usr/bin/env bash\necho 'command not found' >&2\nexit 127\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that can be set up, with nothing but basic tools on PATH."""
    root, tools = tmp_path / "project", tmp_path / "bin"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, root / "scripts")
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "requirements.lock").write_text("numpy==1.26.4\n")
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    return root


@pytest.fixture
def setup(project: Path) -> Run:
    """Run the script in the toy project."""

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        home = project.parent
        return subprocess.run(
            [project / "scripts" / "setup.sh"],
            env={"PATH": str(home / "bin"), "HOME": str(home), "LOG": str(home / "log"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def add_python(project: Path, name: str = "python3.10", version: str = "3.10") -> None:
    executable(project.parent / "bin" / name, PYTHON.format(version=version))


def log(project: Path) -> list[str]:
    path = project.parent / "log"
    return path.read_text().splitlines() if path.exists() else []


INSTALLED = ["venv", "pip: -m pip install -r requirements.lock", "pip: -m pip install --quiet --no-deps"]


def test_the_first_run_installs_and_the_second_does_nothing(project, setup):
    add_python(project)
    first = setup()
    assert first.returncode == 0, first.stderr
    assert [line[: len(start)] for line, start in zip(log(project), INSTALLED, strict=True)] == INSTALLED
    second = setup()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert len(log(project)) == len(INSTALLED)


@pytest.mark.parametrize("file", ["pyproject.toml", "requirements.lock"])
def test_a_changed_file_sets_up_again_in_place(project, setup, file):
    add_python(project)
    setup()
    (project / ".venv" / "kept").touch()
    (project / file).write_text("changed\n")
    assert setup().returncode == 0
    assert len(log(project)) == 2 * len(INSTALLED)
    assert (project / ".venv" / "kept").exists()


def test_an_interrupted_set_up_is_made_anew(project, setup):
    add_python(project)
    assert setup(PIP_STATUS="1").returncode != 0
    (project / ".venv" / "half-installed").touch()
    assert setup().returncode == 0
    assert not (project / ".venv" / "half-installed").exists()
    assert setup().stdout == ""


def test_an_interrupted_update_is_made_anew(project, setup):
    add_python(project)
    setup()
    (project / "requirements.lock").write_text("changed\n")
    assert setup(PIP_STATUS="1").returncode != 0
    (project / ".venv" / "half-installed").touch()
    assert setup().returncode == 0
    assert not (project / ".venv" / "half-installed").exists()


def test_a_moved_project_sets_up_again(project, setup):
    add_python(project)
    setup()
    moved = project.rename(project.with_name("moved"))
    environment = {"PATH": str(moved.parent / "bin"), "HOME": str(moved.parent), "LOG": str(moved.parent / "log")}
    subprocess.run([moved / "scripts" / "setup.sh"], env=environment, check=True, capture_output=True)
    assert len(log(moved)) == 2 * len(INSTALLED)


def test_shims_that_do_not_run_are_passed_over(project, setup):
    executable(project.parent / "bin" / "python3.10", BROKEN)
    executable(project.parent / "bin" / "uv", BROKEN)
    add_python(project, "python3", version="3.12")
    python = project.parent / ".pyenv" / "versions" / "3.10.13" / "bin" / "python"
    executable(python, PYTHON.format(version="3.10"))
    done = setup()
    assert done.returncode == 0, done.stderr
    assert str(python) in done.stdout


def test_a_working_uv_is_used(project, setup):
    add_python(project)
    executable(project.parent / "bin" / "uv", UV)
    assert setup().returncode == 0
    assert "uv: pip install --python .venv/bin/python -r requirements.lock" in log(project)
    assert not any(line.startswith("pip:") for line in log(project))


def test_no_python_is_one_line_that_says_what_to_do(project, setup):
    add_python(project, "python3", version="3.12")
    done = setup()
    assert done.returncode == 2
    assert done.stderr.startswith("error: no Python 3.10 ")
    assert "PYTHON=python3.12 make test" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project / ".venv").exists()


def test_a_newer_python_can_be_asked_for_and_then_stays(project, setup):
    add_python(project)
    add_python(project, "python3.12", version="3.12")
    setup()
    assert "python3.12" in setup(PYTHON="python3.12").stdout
    assert setup(PYTHON="python3.12").stdout == ""
    assert setup().stdout == ""
    assert setup(PYTHON="python3.10").stdout != ""


@pytest.mark.parametrize(("version", "reason"), [("3.9", "is Python 3.9, expected 3.10"), (None, "does not run")])
def test_a_useless_python_is_refused(project, setup, version, reason):
    name = project.parent / "bin" / "python-of-choice"
    executable(name, PYTHON.format(version=version) if version else BROKEN)
    done = setup(PYTHON=str(name))
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_script_can_be_run():
    assert os.access(SCRIPT, os.X_OK)
