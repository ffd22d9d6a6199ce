"""What simulations under test leave on the machine."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SECONDS = 10.0  # much less than a deadline, though other programs may keep the machine busy

INSTANT = 0.1  # seconds; a semaphore has a name for much less before the name is removed


class Machine:
    """Sees the processes and files of the simulations of one test."""

    def __init__(self, mark: str) -> None:
        self.mark = f"SPIKESAM_TEST={mark}".encode()
        self.files_before = self._files()

    def processes(self) -> list[int]:
        """Every process started, directly or not, by the one under test."""
        return sorted(pid for pid, variables in self._environments() if self.mark in variables)

    def new_files(self) -> set[str]:
        """Files that were not there before, and stay, except those that other programs use."""
        if new := self._files() - self.files_before:
            time.sleep(INSTANT)
            new &= self._files()
            used = self._used_by_others()
            new = {
                path for path in new if not (os.path.exists(path) and os.stat(path).st_ino in used)
            }
        return new

    def _used_by_others(self) -> set[int]:
        """Inodes of semaphores and shared memory of processes that this test did not start; names
        may have changed.
        """
        found: set[int] = set()
        for pid, variables in self._environments():
            if self.mark not in variables:
                with contextlib.suppress(OSError):  # it ended meanwhile, or is not ours
                    maps = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
                    found |= {int(line.split()[4]) for line in maps if "/dev/shm/" in line}
        return found

    def is_clean(self, within: float = SECONDS) -> bool:
        end = time.monotonic() + within
        while self.processes() or self.new_files():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    @staticmethod
    def _environments() -> Iterator[tuple[int, list[bytes]]]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):  # it ended meanwhile, or is not ours
                    yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")

    @staticmethod
    def _files() -> set[str]:
        folders = (Path("/dev/shm"), Path(tempfile.gettempdir()))
        names = ("spikesam-*", "sem.*", "psm_*", "pymp-*")
        return {str(path) for folder in folders for name in names for path in folder.glob(name)}


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
