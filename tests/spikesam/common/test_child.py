"""Child processes import what their parent does, nothing of the folder that they start in, and end
with it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import spikesam.recordings
from spikesam.common.child import python
from tests.hostile import hostile_folder
from tests.recordings.rasters import GOLDEN

VALIDATE = (
    "import sys; from spikesam.pipeline.cli.main import main; sys.argv[0] = ''; "
    "main(['validate', {raster!r}])"
)
OPEN = "import spikesam; spikesam.open_raster({raster!r}).close()"
SPAWN = """
if __name__ == "__main__":
    from multiprocessing import get_context
    from spikesam.common.child import isolated_spawning
    with isolated_spawning():
        context = get_context("spawn")
        lock = context.Lock()  # it has a process, too
        process = context.Process(target=print, args=("spawned",))
        process.start()
        process.join()
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    return hostile_folder(tmp_path)


@pytest.mark.parametrize("code", [VALIDATE, OPEN, SPAWN])
@pytest.mark.parametrize("enters", [False, True], ids=["starts there", "goes there"])
def test_a_script_runs_nothing_of_the_current_folder(
    code: str, enters: bool, hostile: Path
) -> None:
    """As the installed command does, Python puts the folder of a script on its path, and not the
    current one.
    """
    script, root = hostile.parent / "scripts" / "script.py", str(Path(spikesam.__file__).parents[1])
    script.parent.mkdir()
    entering = (
        "import os, sys\nsys.path += "
        f"{['', root] if enters else [root]!r}\nos.chdir({str(hostile)!r})\n"
    )
    script.write_text(entering + code.format(raster=str(GOLDEN)))
    ask = {
        "args": [sys.executable, script],
        "cwd": script.parent if enters else hostile,
        "capture_output": True,
    }
    done = subprocess.run(**ask, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() or code is OPEN
    assert not (hostile.parent / "mark").exists()


@pytest.mark.parametrize("first", ["", "here"])
def test_the_path_of_a_child(first: str, hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -c` puts "" first and `python -m` the current folder; what the user added stays
    before all libraries.
    """
    added = hostile.parent / "added"
    added.mkdir()
    (added / "fractions.py").write_text("")
    monkeypatch.chdir(hostile)
    monkeypatch.setattr(sys, "path", [first and str(hostile), str(added), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(hostile))
    code = (
        "import json, fractions, spikesam; print(json.dumps([fractions.__file__, "
        "spikesam.__file__, *sys.argv]))"
    )
    done = subprocess.run(python(code, "--one", "two"), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        str(added / "fractions.py"),
        spikesam.__file__,
        "-c",
        "--one",
        "two",
    ]
    assert not (hostile.parent / "mark").exists()


@pytest.mark.parametrize(
    ("given", "kept"), [("/a::/b:", "/a:/b"), (":", None), ("lib:.", None), ("/a", "/a")]
)
def test_a_child_looks_for_no_library_here(
    given: str, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV, once imported, ends LD_LIBRARY_PATH with a colon, behind which stands the current
    folder.
    """
    monkeypatch.setenv("LD_LIBRARY_PATH", given)
    command = python("import os; print(os.environ.get('LD_LIBRARY_PATH'))")
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{kept}\n"


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_clone_that_is_here_keeps_its_place(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` finds the project there, first of all; the installed command finds all else
    elsewhere before.
    """
    (tmp_path / "fractions.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spikesam.common.child.SOURCE", str(tmp_path))
    monkeypatch.setattr(
        sys, "path", ["", *sys.path] if place == "first" else [*sys.path, str(tmp_path)]
    )
    code = "import fractions; print(fractions.__file__)"
    done = subprocess.run(python(code), capture_output=True, text=True, check=True)
    assert (Path(done.stdout.strip()).parent == tmp_path) == (place == "first")


SETTINGS = """
import spikesam.recordings, matplotlib, numba
from numba.core import config
config.reload_config()
print(config.CACHE_DIR or "none", config.DISABLE_JIT, matplotlib.rcParams["text.usetex"])
"""


@pytest.mark.parametrize("broken", ["", "bytes", "pipe"])
def test_libraries_take_no_settings_from_the_current_folder(broken: str, hostile: Path) -> None:
    """Numba runs code that lies in the folder of its cache; matplotlib would start LaTeX, or read a
    pipe for ever.
    """
    for name in ("matplotlibrc", ".numba_config.yaml") if broken else ():
        (hostile / name).unlink()
        (hostile / name).write_bytes(b"\xff: [") if broken == "bytes" else os.mkfifo(hostile / name)
    done = subprocess.run(
        python(SETTINGS), cwd=hostile, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "none 0 False\n", "")
    assert not (hostile.parent / "mark").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only the kernel of Linux ends children")
def test_a_parent_that_has_ended_already() -> None:
    code = (
        "from spikesam.common.child import *; die_with_parent(os.getppid()); "
        "die_with_parent(-1); print('here')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize(
    "call", ["register('/mp-gone', 'semaphore')", "unregister('/a', 'semaphore')"]
)
def test_the_resource_tracker_is_silent(call: str) -> None:
    """What is gone already, as after a worker was killed, would be told with a traceback."""
    start = "from spikesam.common.child import start_resource_tracker as start; start()"
    tracker = "from multiprocessing import resource_tracker as tracker"
    code = f"{start}; {tracker}; tracker.{call}; import sys; print('mine', file=sys.stderr)"
    done = subprocess.run(python(code), capture_output=True, text=True, check=True)
    assert done.stderr == "mine\n"
