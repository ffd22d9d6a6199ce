"""The traces a simulation leaves on the machine, all under one private name, and their removal."""

from __future__ import annotations

import multiprocessing
import secrets
import shutil
import tempfile
from multiprocessing import shared_memory
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


def make_scratch() -> Path:
    """Make a private folder for the files of one simulation.

    It lies in shared memory, which Lava needs anyway: it will hold sockets, whose paths must be short, and TMPDIR may
    be long.
    """
    return Path(tempfile.mkdtemp(prefix="spikesam-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))


def claim_shared_memory(scratch: Path) -> None:
    """Name every block of shared memory and every semaphore of this process and its children after `scratch`.

    Lava leaves both behind whenever it is killed or fails. Python offers no public way to choose their names; the two
    private ones used here exist in every Python that Lava runs on, 3.10 to 3.13.
    """
    shared_memory._make_filename = lambda: f"/{scratch.name}-{secrets.token_hex(8)}"  # type: ignore[attr-defined]
    multiprocessing.current_process()._config["semprefix"] = f"/{scratch.name}"  # type: ignore[attr-defined]


def sweep(scratch: Path) -> None:
    """Remove the folder `scratch` and all shared memory named after it; what is gone already is no error."""
    shutil.rmtree(scratch, ignore_errors=True)
    for path in SHARED_MEMORY.glob(f"*{scratch.name}*"):
        path.unlink(missing_ok=True)
