"""scripts/setup.sh in a toy project whose Pythons are shell scripts that write down what they are
asked to do.
"""

import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from spikesam.backends.lava.backend import INSTALL

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "setup.sh"
LOCKS = ("requirements.lock", "requirements-nodeps.lock")
TOOLS = ("bash", "cat", "chmod", "cksum", "cp", "dirname", "mkdir", "rm")

# Answers the questions the script asks, makes "environments" that hold itself, and logs pip.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  *version_info*) echo {version} ;;
  *{missing}*) exit 1 ;;
  *_base_executable*) echo {path} ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "venv $3" >>"$LOG" ;;
  "-m compileall "*) echo "$*" >>"$LOG" ;;
  "-m pip "*) echo "$*" >>"$LOG"; exit "${{PIP_STATUS:-0}}" ;;
esac
"""
# Knows no Python until it has been asked to install one.
UV = """#!/usr/bin/env bash
echo "uv $*" >>"$LOG"
managed="$HOME/managed/python"
case "$1 $2" in
  "venv "*) mkdir -p .venv/bin && cp "$5" .venv/bin/python ;;
  "python install") mkdir -p "$HOME/managed" && cp "$HOME/to-be-fetched" "$managed" ;;
  "python find") [ -x "$managed" ] && echo "$managed" ;;
esac
"""
BROKEN = "#!/usr/bin/env bash\necho 'command not found' >&2\nexit 127\n"
INSTALLED = [
    "venv .venv",
    "-m pip install --no-deps --require-hashes -r requirements.lock",
    "-m pip install --quiet --no-deps --require-hashes --no-build-isolation "
    "--ignore-requires-python"
    " -r requirements-nodeps.lock",
    "-m pip install --quiet --no-deps --no-build-isolation -e .",
    "-m compileall -q recordings backends pipeline spikesam",
]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that can be set up, with nothing but basic tools on PATH."""
    root, tools = tmp_path / "project", tmp_path / "bin"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, root / "scripts")
    (root / "pyproject.toml").write_text("[project]\n")
    for lock in LOCKS:
        (root / lock).write_text("numpy==2.5.5\n")
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    return root


@pytest.fixture
def setup(project: Path) -> Run:
    """Run the script in the toy project."""

    def run(
        *arguments: str, umask: int = -1, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        home = project.parent
        return subprocess.run(
            [project / "scripts" / "setup.sh", *arguments],
            env={
                "PATH": f"{home / 'bin'}:{home / 'usr'}",
                "HOME": str(home),
                "LOG": str(home / "log"),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
        )

    return run


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def add_python(
    project: Path, version: str = "3.13", path: str = "", missing: str = "nothing"
) -> Path:
    """Add a Python, by default as "bin/python3.13"; `missing` is a module it lacks."""
    file = project.parent / (path or f"bin/python{version}")
    return executable(file, PYTHON.format(version=version, missing=missing, path=file))


def log(project: Path) -> list[str]:
    path = project.parent / "log"
    return path.read_text().splitlines() if path.exists() else []


def test_the_first_run_installs_and_the_second_does_nothing(project, setup):
    add_python(project)
    first = setup()
    assert first.returncode == 0, first.stderr
    assert log(project) == INSTALLED
    second = setup()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert log(project) == INSTALLED


def test_lava_is_installed_in_the_version_that_its_error_names():
    assert INSTALL.split()[-1] in (ROOT / "requirements-nodeps.in").read_text().split()


@pytest.mark.parametrize("lock", [*LOCKS, "scripts/audit.lock", ".ci/requirements.lock"])
def test_every_locked_package_has_a_version_and_a_hash(lock):
    entries = (ROOT / lock).read_text().replace(" \\\n", " ").splitlines()
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==\S+ ", entry) and "--hash=sha256:" in entry, entry


def test_a_package_that_cannot_be_installed_is_one_line_of_ours(project, setup):
    add_python(project)
    done = setup(PIP_STATUS="1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(
        "error: a package could not be fetched, or is not the one that was locked"
    )


@pytest.mark.parametrize("file", ["pyproject.toml", *LOCKS])
def test_a_changed_file_sets_up_again_in_place(project, setup, file):
    add_python(project)
    setup()
    (project / ".venv" / "kept").touch()
    (project / file).write_text("changed\n")
    assert setup().returncode == 0
    assert log(project) == 2 * INSTALLED
    assert (project / ".venv" / "kept").exists()


def test_an_update_keeps_to_the_python_it_was_made_with_while_that_exists(project, setup):
    first = add_python(project, path="usr/python3.13")
    setup()
    other = add_python(project)  # comes first on PATH
    (project / "requirements.lock").write_text("changed\n")
    assert f"with {first} " in setup().stdout
    (
        project / ".venv" / "bin" / "python"
    ).unlink()  # as if that Python had been removed, to which it is a link
    assert f"with {other} " in setup().stdout


@pytest.mark.parametrize("update", [False, True])
def test_an_interrupted_set_up_or_update_is_made_anew(project, setup, update):
    add_python(project)
    if update:
        setup()
        (project / "requirements.lock").write_text("changed\n")
    assert setup(PIP_STATUS="1").returncode != 0
    (project / ".venv" / "half-installed").touch()
    assert setup().returncode == 0
    assert not (project / ".venv" / "half-installed").exists()
    assert setup().stdout == ""


def test_a_moved_project_sets_up_again(project, setup):
    add_python(project)
    setup()
    moved = project.rename(project.with_name("moved"))
    environment = {
        "PATH": str(moved.parent / "bin"),
        "HOME": str(moved.parent),
        "LOG": str(moved.parent / "log"),
    }
    subprocess.run(
        [moved / "scripts" / "setup.sh"], env=environment, check=True, capture_output=True
    )
    assert log(moved) == 2 * INSTALLED


def test_the_best_python_that_runs_and_can_make_an_environment_is_taken_wherever_it_is(
    project, setup
):
    executable(project.parent / "bin" / "python3.13", BROKEN)
    executable(project.parent / "bin" / "uv", BROKEN)
    add_python(project, "3.13", path="bin/python3", missing="ensurepip")
    add_python(project, "3.10", path="bin/python")
    last = add_python(project, "3.14", path=".pyenv/versions/3.14.0/bin/python")
    assert f"with {last} " in setup(VENV="without-lava").stdout
    add_python(project, "3.11", path="usr/python3.11")
    newest = add_python(project, "3.12", path=".pyenv/versions/3.12.1/bin/python")
    assert f"with {newest} " in setup().stdout
    system = add_python(project, "3.13", path="usr/python3.13")
    assert f"with {system} " in setup(VENV="other").stdout


def test_the_pythons_of_this_machine_are_listed_and_nothing_is_made(project, setup):
    add_python(project, "3.12", path=".pyenv/versions/3.12.1/bin/python")
    add_python(project, "3.13", missing="ensurepip")
    add_python(project, "3.11")
    add_python(project, "3.10")
    assert setup("--list").stdout.split() == ["3.12", "3.11"]
    assert not (project / ".venv").exists()


def test_a_working_uv_is_used(project, setup):
    python = add_python(project, missing="ensurepip")
    executable(project.parent / "bin" / "uv", UV)
    assert setup().returncode == 0
    assert f"uv venv --quiet --allow-existing --python {python} .venv" in log(project)
    assert log(project)[-4:] == [
        "uv pip install --python .venv/bin/python --no-deps --require-hashes -r requirements.lock",
        *INSTALLED[2:],
    ]


def test_uv_fetches_a_python_where_there_is_none(project, setup):
    add_python(project, path="to-be-fetched")
    executable(project.parent / "bin" / "uv", UV)
    assert f"with {project.parent}/managed/python " in setup().stdout
    assert "uv python install 3.13" in log(project)


def test_no_python_is_one_line_that_says_what_to_do(project, setup):
    add_python(project, "3.10", path="bin/python3")
    add_python(project, "3.13", missing="ensurepip")
    done = setup()
    assert done.returncode == 2
    assert done.stderr == (
        "error: none of Python 3.13 3.12 3.11 3.14 with its venv module on PATH, in pyenv or "
        "through uv; "
        "install one (on Debian and Ubuntu: apt install python3-venv), or uv\n"
    )
    assert not (project / ".venv").exists()


def test_a_version_can_be_asked_for_and_then_stays(project, setup):
    add_python(project)
    executable(project.parent / "bin" / "python3.12", BROKEN)  # pyenv's shim
    older = add_python(project, "3.12", path=".pyenv/versions/3.12.1/bin/python")
    setup()
    assert f"with {older} " in setup(PYTHON="python3.12").stdout
    assert setup(PYTHON="3.12").stdout == ""
    assert setup().stdout == ""
    assert setup(PYTHON="python3.13").stdout != ""
    assert f"with {older} " in setup(PYTHON=str(older)).stdout


def test_another_folder_leaves_the_first_as_it_is(project, setup):
    add_python(project)
    add_python(project, "3.11")
    setup()
    setup(PYTHON="python3.11", VENV=".venv-3.11")
    assert log(project) == [*INSTALLED, "venv .venv-3.11", *INSTALLED[1:]]
    assert setup().stdout + setup(PYTHON="python3.11", VENV=".venv-3.11").stdout == ""


ONE_OF = "one of Python 3.13 3.12 3.11 3.14"
USELESS = f"does not run, or has no venv module; give {ONE_OF}, or its path"


@pytest.mark.parametrize(
    ("asked", "version", "reason"),
    [
        *(
            ("python-of-choice", x, f"is Python {x}, expected {ONE_OF.replace('Python ', '')}")
            for x in ("3.10", "3.15")
        ),
        ("python-of-choice", None, USELESS),
        ("python3.12", "3.11", USELESS),
    ],
)
def test_a_useless_python_is_refused(project, setup, asked, version, reason):
    name = project.parent / "bin" / "python-of-choice"
    executable(
        name, PYTHON.format(version=version, missing="nothing", path=name) if version else BROKEN
    )
    done = setup(PYTHON=asked)
    assert (done.returncode, done.stderr) == (2, f"error: PYTHON={asked} {reason}\n")


def test_under_an_open_umask_nobody_else_can_write_what_is_installed(project, setup):
    add_python(project)
    assert setup(umask=0).returncode == 0
    made = [project / ".venv", *(project / ".venv").rglob("*")]
    assert len(made) > 2
    assert not any(
        path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        for path in made
        if path.name != "python"
    )
