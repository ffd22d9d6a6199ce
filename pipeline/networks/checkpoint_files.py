"""The places of checkpoints: those that come with the program, by name, and any file."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from spikesam.backends.network import Kind
from spikesam.backends.network.storage import read_network
from spikesam.common.errors import InputError, did_you_mean
from spikesam.common.files import open_file, similar_file

BUNDLED = Path(__file__).parents[2] / "checkpoints"
PYTORCH = (
    "a PyTorch file: build the model and use spikesam.record, or spikesam.from_torch; of an ANN "
    "spikesam.convert(model, images)"
)
FOREIGN = {  # files of networks that others wrote, by their ending, and what to do with them
    ".pt": PYTORCH,
    ".pth": PYTORCH,
    ".pt2": PYTORCH,
    ".nir": "a NIR file: spikesam.from_nir makes a network of it, which spikesam.simulate runs",
    ".net": "a lava-dl file: spikesam.from_netx makes a network of it, which spikesam.simulate "
    "runs",
}


def find_checkpoint(name_or_path: str, kind: Kind | None = None) -> Path:
    """The file of a bundled checkpoint, or `name_or_path` itself; an InputError if it is
    neither.
    """
    path = _bundled(name_or_path) or Path(name_or_path)
    if (refusal := FOREIGN.get(path.suffix.lower())) and not _is_safetensors(path):
        raise InputError(f"checkpoint {name_or_path!r}: {refusal}")
    if not os.path.exists(path):
        bundled = ", ".join(bundled_names(kind))
        hint = did_you_mean(name_or_path, bundled_names(kind)) or similar_file(path)
        if path.suffix == ".safetensors" or len(path.parts) > 1:
            raise InputError(f"checkpoint {name_or_path!r}: no such file{hint}")
        raise InputError(
            f"checkpoint {name_or_path!r}: neither a bundled one ({bundled}) nor a file{hint}"
        )
    if path.is_dir():
        inside = path / "checkpoint.safetensors"
        hint = f"; did you mean {inside}?" if inside.is_file() else ", expected a checkpoint file"
        raise InputError(f"checkpoint {name_or_path!r}: is a folder{hint}")
    return path


def is_checkpoint(name_or_path: str | PathLike[str]) -> bool:
    """True of the name of a bundled checkpoint, or of a file that begins as one."""
    return _bundled(name_or_path) is not None or _is_safetensors(Path(name_or_path))


def _bundled(name: str | PathLike[str]) -> Path | None:
    """The file of a bundled checkpoint; None of another name, and of a path."""
    path = BUNDLED / f"{name}.safetensors"
    return path if Path(name).name == str(name) and os.path.isfile(path) else None


def _is_safetensors(path: Path) -> bool:
    """True of a file that begins as our checkpoints do, whatever its name: the header's length,
    then JSON.
    """
    try:
        with open_file(path) as file:
            return file.read(9)[8:] == b"{"
    except OSError:
        return False


def bundled_names(kind: Kind | None = None) -> list[str]:
    """Names of the bundled checkpoints whose network is of that kind, as their files say; all if
    none is given.
    """
    files = sorted(BUNDLED.glob("*.safetensors"))
    return [file.stem for file in files if kind is None or read_network(file)[0].kind == kind]
