"""Threads that share a sample never wait for one that Ctrl-C has ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

INTERRUPTED = """
import os, signal, sys, threading, time
from backends.event.progress import Progress

entered, main, count, at = threading.Condition.__enter__, threading.get_ident(), 0, int(sys.argv[1])

def enter(self):  # Ctrl-C comes when the main thread has just taken a lock of Python's library
    global count
    result = entered(self)
    if threading.get_ident() == main and working:
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)
    return result

def advance():
    with progress:
        while (task := progress.begin()) is not None:
            time.sleep(0.001)
            progress.end(task[1])

progress = Progress(20, [set(), {0}])
other = threading.Thread(target=advance)
other.start()
working, threading.Condition.__enter__ = True, enter
try:
    advance()
except KeyboardInterrupt:
    pass
working = False
other.join()
print("ended")
"""


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_ctrl_c_at_any_moment_ends_all_threads(at: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(at)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert said.stdout == "ended\n"
