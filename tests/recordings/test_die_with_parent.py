"""A process ends with its parent, even if it was stopped; but not merely because another thread of the parent ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only the kernel of Linux ends children")

CHILD = "from spikesam.recordings.child import *; die_with_parent(); print(os.getpid(), flush=True); signal.pause()"
PARENT = f"import signal, subprocess, sys; subprocess.Popen([sys.executable, '-c', {CHILD!r}]); signal.pause()"


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("stopped", [False, True])
def test_a_killed_parent(stopped: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        if stopped:
            os.kill(child, signal.SIGSTOP)
        assert is_running(child)
        parent.kill()
        end = time.monotonic() + 10
        while is_running(child):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_parent_that_has_ended_already() -> None:
    code = (
        "from spikesam.recordings.child import *; "
        "die_with_parent(os.getppid()); die_with_parent(-1); print('still here')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
