"""Compiled code is loaded only from where nobody else could have put it: pickles there are
executed.
"""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from spikesam.backends.event.kernels.cache import _PrivateFiles

ROOT = Path(__file__).parents[3]
NOBODY = 65534
MODULE = """
from spikesam.backends.event.kernels.cache import cached

@cached()
def successor(number):
    return number + 1

@cached()
def predecessor(number):
    return number - 1

print(successor(1), predecessor(1), len(successor.stats.cache_hits))
"""


class Setting:
    """A module with kernels, and the folders in which numba may look for their code."""

    def __init__(self, folder: Path) -> None:
        self.source, self.home, self.chosen = folder / "source", folder / "home", folder / "chosen"
        self.planted = folder / "planted"  # appears when planted code is executed
        for path in (self.source, self.home):
            path.mkdir(0o755)
        (self.source / "kernels.py").write_text(MODULE)

    def run(self, umask: int = 0o022, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-B", "-c", "import kernels"],
            cwd=self.source,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "PYTHONPATH": f".:{ROOT}",
                **environment,
            },
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("2 0 ")
        return done

    def files(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.rglob("*.nb[ci]"))

    def poison(self, folder: Path) -> None:
        """Replace what is in a cache by pickles that execute something."""
        code = (
            "import hashlib, os, pickle, sys\n"
            "class Poison:\n"
            "    def __reduce__(self):\n"
            "        return os.makedirs, (sys.argv[1], 0o777, True)\n"
            "poison = pickle.dumps(Poison())\n"
            "for path in sys.argv[2:]:\n"
            "    open(path, 'wb').write(poison + hashlib.sha256(poison).digest())\n"
        )
        files = self.files(folder)
        assert files
        subprocess.run(
            [sys.executable, "-c", code, str(self.planted), *map(str, files)], check=True
        )


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_a_private_cache_is_used(setting: Setting) -> None:
    setting.run()
    assert len(setting.files(setting.source / "__pycache__")) == 4
    assert setting.run().stdout == "2 0 1\n"


def test_of_processes_that_start_together_one_compiles(setting: Setting) -> None:
    with ThreadPoolExecutor() as pool:
        found = [each.stdout for each in pool.map(lambda _: setting.run(), range(3))]
    assert sorted(found) == ["2 0 0\n", "2 0 1\n", "2 0 1\n"]


def test_a_fork_compiles_what_is_new_to_it(setting: Setting) -> None:
    """Lava's processes are forks of one that has compiled."""
    fork = (
        "import os\nif not os.fork():\n    print(successor(1.5), flush=True)\n    "
        "os._exit(0)\nos.wait()\n"
    )
    (setting.source / "kernels.py").write_text(MODULE + fork)
    assert setting.run(PYTHONUNBUFFERED="1").stdout == "2 0 0\n2.5\n"


def test_others_go_on_after_what_cannot_be_compiled(setting: Setting) -> None:
    hasty = "from spikesam.backends.event.kernels import cache\ncache.MOMENT = 0.5\n"
    fails = (
        "import subprocess, sys, time\n"
        "try:\n    successor('text')\nexcept Exception:\n    print('failed', flush=True)\n"
        "if len(sys.argv) == 1:\n"
        "    subprocess.run([sys.executable, '-B', '-c', 'import kernels', 'again'])\n"
        "    time.sleep(1)\n"
    )
    (setting.source / "kernels.py").write_text(hasty + MODULE + fails)
    found = setting.run(PYTHONUNBUFFERED="1")
    assert found.stdout == "2 0 0\nfailed\n2 0 1\nfailed\n"
    assert found.stderr == ""  # nobody waited, and nothing is said of what has failed


def test_long_compiling_is_said_once_and_without_a_terminal(setting: Setting) -> None:
    hasty = "from spikesam.backends.event.kernels import cache\ncache.MOMENT = 0\n"
    (setting.source / "kernels.py").write_text(hasty + MODULE)
    said = (
        "spikesam compiles kernels for this machine and keeps them: this takes some ten seconds\n"
    )
    assert setting.run().stderr == said
    assert setting.run().stderr == ""


def test_whatever_the_umask_nobody_else_can_write_it(setting: Setting) -> None:
    assert setting.run(umask=0, NUMBA_CACHE_DIR=str(setting.chosen)).stderr == ""
    written = [setting.chosen, *setting.chosen.rglob("*")]
    assert len(setting.files(setting.chosen)) == 4
    assert not any(path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH) for path in written)
    assert setting.run(umask=0, NUMBA_CACHE_DIR=str(setting.chosen)).stdout == "2 0 1\n"


@pytest.mark.parametrize(("kind", "kept"), [("i", 0.0), ("i", 0.9), ("c", 0.5)])
def test_a_damaged_file_is_replaced(kind: str, kept: float, setting: Setting) -> None:
    """A loss of power can leave an empty file, or zeros at its end."""
    setting.run()
    for path in setting.source.rglob(f"*.nb{kind}"):
        content = path.read_bytes()
        whole = int(kept * len(content))
        path.write_bytes(content[:whole] + bytes(len(content) - whole if kept else 0))
    assert setting.run().stdout == "2 0 0\n"
    assert setting.run().stdout == "2 0 1\n"


def test_a_folder_that_others_write_is_passed_over(setting: Setting) -> None:
    setting.run()
    beside = setting.source / "__pycache__"
    setting.poison(beside)
    beside.chmod(0o777)
    assert setting.run().stdout == "2 0 0\n"
    assert len(setting.files(setting.home)) == 4
    assert setting.run().stdout == "2 0 1\n"
    assert not setting.planted.exists()


def test_a_file_that_others_write_is_replaced(setting: Setting) -> None:
    setting.run()
    setting.poison(setting.source)
    for path in setting.files(setting.source):
        path.chmod(0o666)
    assert setting.run().stdout == "2 0 0\n"
    assert setting.run().stdout == "2 0 1\n"
    assert not setting.planted.exists()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)
def test_a_folder_of_another_user_is_passed_over(setting: Setting) -> None:
    setting.run(NUMBA_CACHE_DIR=str(setting.chosen))
    setting.poison(setting.chosen)
    os.chown(setting.chosen, NOBODY, NOBODY)
    link = setting.home / "link"
    link.symlink_to(setting.chosen)
    assert setting.run(NUMBA_CACHE_DIR=str(link)).stdout == "2 0 0\n"
    assert not setting.planted.exists()


def test_without_any_private_folder_it_is_compiled_each_time_and_said_once(
    setting: Setting,
) -> None:
    for folder in (setting.source, setting.home):
        folder.chmod(0o777)
    hostile = setting.home / "tmp"
    hostile.mkdir()
    hostile.chmod(0o777)
    for _ in range(2):
        done = setting.run(TMPDIR=str(hostile), XDG_CACHE_HOME=str(hostile))
        assert done.stdout == "2 0 0\n"
        assert done.stderr.count("no folder for compiled kernels that you alone can write") == 1
    assert not setting.files(setting.source) + setting.files(setting.home)


def test_code_of_a_release_with_other_modules_counts_as_missing(tmp_path, monkeypatch):
    module = ModuleType("of_another_release")
    exec("class Weights: pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "of_another_release", module)
    files = _PrivateFiles(cache_path=str(tmp_path), filename_base="kernel", source_stamp=0)
    files._save_index({"signature": module.Weights()})
    assert files._load_index().keys() == {"signature"}
    del module.Weights
    assert files._load_index() == {}
    monkeypatch.delitem(sys.modules, "of_another_release")
    assert files._load_index() == {}
