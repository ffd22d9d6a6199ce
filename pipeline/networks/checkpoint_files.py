"""Where checkpoints lie: those that come with the program, by name, and any file."""

from __future__ import annotations

from pathlib import Path

from backends.network import Kind
from backends.network.storage import read_network
from pipeline.config.bundled import bundled
from pipeline.images.datasets.base import did_you_mean
from recordings.errors import InputError

BUNDLED = bundled("checkpoints")


def find_checkpoint(name_or_path: str, kind: Kind | None = None) -> Path:
    """The file of a bundled checkpoint, or `name_or_path` itself.

    Raises
    ------
    InputError : if there is neither; lists the bundled ones of that kind
    """
    path = BUNDLED / f"{name_or_path}.safetensors"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.exists():
        bundled = ", ".join(bundled_names(kind))
        hint = did_you_mean(name_or_path, bundled_names(kind))
        raise InputError(f"checkpoint {name_or_path!r}: neither a bundled one ({bundled}) nor a file{hint}")
    if path.is_dir():
        inside = path / "checkpoint.safetensors"
        hint = f"; did you mean {inside}?" if inside.is_file() else ", expected a checkpoint file"
        raise InputError(f"checkpoint {name_or_path!r}: is a folder{hint}")
    return path


def bundled_names(kind: Kind | None = None) -> list[str]:
    """Names of the bundled checkpoints whose network is of that kind, as their files say; all if none is given."""
    files = sorted(BUNDLED.glob("*.safetensors"))
    return [file.stem for file in files if kind is None or read_network(file)[0].kind == kind]
