"""A cache of finished work: one folder per stage, named after the hash of everything that went into
it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from spikesam.commands import parse_json, replacing, write_file

MANIFEST = "stage.json"


class Cache:
    """Builds a stage once; later calls, in this run or another, get the finished folder under
    `directory`.

    Experiments that share it share networks and recordings. `found` has the seconds that what was
    asked for had taken to build, 0 for what was built since it was emptied.
    """

    def __init__(self, directory: Path, console: Console) -> None:
        self.directory = directory
        self.console = console
        self.found: dict[Path, float] = {}
        self._seconds: dict[Path, float] = {}  # of every stage known to be whole

    def folder(self, kind: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The folder of a finished stage, built first if it is missing or a file in it is not what
        it was.

        `inputs` are all that the result depends on, what came out of another stage by its hash.
        `build` fills an empty folder, or goes on with one that an interrupted build left.
        """
        text = json.dumps({"kind": kind, **inputs}, sort_keys=True, ensure_ascii=False)
        folder = self.directory / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        if folder in self._seconds:
            self.found.setdefault(folder, self._seconds[folder])
            return folder
        if folder.exists():
            damage = _damage(folder)
            if damage is None:
                self.found[folder] = self._seconds[folder] = _manifest(folder)["seconds"]
                return folder
            self.console.print(f"{folder}: {damage}; computed again", soft_wrap=True)
            shutil.rmtree(folder)
        unfinished = folder.with_name(folder.name + ".part")
        unfinished.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        try:
            build(unfinished)
        except BaseException:
            with suppress(OSError):  # what is empty goes, what is not can be continued
                unfinished.rmdir()
                self.directory.rmdir()
            raise
        seconds = round(time.perf_counter() - begun, 1)
        manifest = {
            "inputs": {"kind": kind, **inputs},
            "seconds": seconds,
            "files": _digests(unfinished),
        }
        write_file(
            unfinished / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False).encode()
        )
        unfinished.replace(folder)
        self._seconds[folder] = seconds
        self.found[folder] = 0.0
        return folder

    def arrays(
        self, kind: str, inputs: Mapping[str, Any], compute: Callable[[], dict[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """Arrays that are expensive to compute, as a stage of their own; see :meth:`folder`."""

        def build(folder: Path) -> None:
            arrays = compute()
            with replacing(folder / "arrays.npz") as file:
                np.savez(file, allow_pickle=False, **arrays)

        with np.load(self.folder(kind, inputs, build) / "arrays.npz", allow_pickle=False) as file:
            return dict(file)


def _damage(folder: Path) -> str | None:
    """Fault of a finished stage, or None."""
    try:
        manifest = _manifest(folder)
        wanted, _ = dict(manifest["files"]), float(manifest["seconds"])
        found = _digests(folder)
        changed = sorted(
            name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"its {MANIFEST} cannot be read"
    return f"{changed[0]} is missing or changed" if changed else None


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = parse_json((folder / MANIFEST).read_bytes())
    return manifest


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a stage but its manifest; hidden files (locks) do not count."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in files
        if not path.name.startswith(".")
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
