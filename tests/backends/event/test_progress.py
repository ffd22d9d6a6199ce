"""Threads that share a sample never wait for one that Ctrl-C has ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

INTERRUPTED = """
import sys, threading, time
from backends.event.progress import Progress
from tests.interrupting import interrupt_at

def advance():
    with progress:
        while (task := progress.begin()) is not None:
            time.sleep(0.001)
            progress.end(task[1])

progress = Progress(20, [set(), {0}])
other = threading.Thread(target=advance)
other.start()
interrupt_at(int(sys.argv[1]))
try:
    advance()
except KeyboardInterrupt:
    pass
other.join()
print("ended")
"""


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_ctrl_c_at_any_moment_ends_all_threads(at: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(at)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert said.stdout == "ended\n"
