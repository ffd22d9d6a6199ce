"""A folder beside that of a command, which holds what is the user's own: whoever looks into it is
noticed.
"""

import ctypes
import os
import shutil
import struct
from pathlib import Path

SECRET = "7f3c9a-the-users-own"
# linux/inotify.h: access, modify, attributes, open, moved from and to, create, delete
WATCHED = 0x1 | 0x2 | 0x4 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200


def make_outside(folder: Path, work: Path) -> None:
    """Private files that a command would take, if it followed a link: each in the place of one in
    `work`.
    """
    for name in ("run", "parts", "trained"):
        shutil.copytree(work / name, folder / name)
    shutil.copytree(work / "images", folder / "images")
    shutil.copy(work / "snn.safetensors", folder)
    (folder / "secret.txt").write_text(f"{SECRET}\n" * 50)


class Outside:
    """Such a folder, watched from now on."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._before = folder, _state(folder)
        libc = ctypes.CDLL(None, use_errno=True)
        self._events, self._names = (
            libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC),
            dict[int, Path](),
        )
        for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            self._names[libc.inotify_add_watch(self._events, os.fsencode(each), WATCHED)] = each

    def check(self, work: Path, said: str, may_read: bool) -> None:
        """Nothing was opened there, unless it may be read; nothing changed; no result in `work`
        holds the secret.
        """
        events = self._read()
        assert may_read or not events, (
            f"outside: opened or changed: {', '.join(sorted(events))[:300]}"
        )
        assert (after := _state(self._folder)) == self._before, (
            f"outside: changed: {after ^ self._before}"
        )
        results = (path for path in work.rglob("*") if path.is_file() and not path.is_symlink())
        told = [
            path.name
            for path in results
            if path.stat().st_size < 1 << 30 and SECRET.encode() in path.read_bytes()
        ]
        assert not told, f"outside: the secret stands in {told}"
        assert SECRET not in said, f"outside: the secret was printed: {said[-300:]!r}"

    def _read(self) -> set[str]:
        found, data = set[str](), b""
        try:
            while more := os.read(self._events, 1 << 16):
                data += more
        except BlockingIOError:
            pass
        while data:
            watch, _, _, size = struct.unpack("iIII", data[:16])
            found.add(str(self._names[watch] / os.fsdecode(data[16 : 16 + size].rstrip(b"\0"))))
            data = data[16 + size :]
        os.close(self._events)
        return found


def _state(folder: Path) -> set[tuple[str, int, int, int]]:
    """What lies there, with kind, size and time of the last change."""
    found = ((path, path.lstat()) for path in (folder, *folder.rglob("*")))
    return {(str(path), state.st_mode, state.st_size, state.st_mtime_ns) for path, state in found}
