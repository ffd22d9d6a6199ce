"""Commands in processes of their own: what somebody waits for who types them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import MemoryWatch

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Command:
    """A command of Python, run in a folder that is empty each time.

    Parameters
    ----------
    arguments : of Python
    folder : where it runs; what it leaves there is kept until it runs again
    """

    arguments: Sequence[str]
    folder: Path

    def __call__(self) -> Path:
        """Run it to its end; returns the folder."""
        process = self._start()
        self._expect_success(process)
        return self.folder

    def peak(self, interval: float = 0.05) -> int:
        """Run it to its end; the most bytes that it and its descendants held, looked at now and then."""
        process = self._start()
        with MemoryWatch(interval, process.pid) as watch:
            self._expect_success(process)
        return watch.largest

    def _start(self) -> subprocess.Popen[bytes]:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # users have compiled modules from the second time on
        command = [sys.executable, *self.arguments]
        output = subprocess.DEVNULL, subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output[0], stderr=output[1])

    def _expect_success(self, process: subprocess.Popen[bytes]) -> None:
        _, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(self.arguments)}: exit code {process.returncode}: {errors.decode()[-2000:]}")
