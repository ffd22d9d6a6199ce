"""Where a training begins: with the parameters of another one, or after the epochs that it has finished itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from spikesam.pipeline.config import Config
from spikesam.pipeline.training.epochs import finished_epochs, read_epoch
from spikesam.recordings.errors import InputError, finding
from spikesam.recordings.text import printable

MAY_CHANGE = ("data.source", "training.workers", "training.start")  # when a training is resumed
PREFIX = "model."  # of the network's parameters in a file of TrainingModule


def start_from(model: nn.Module, path: Path) -> None:
    """Set the parameters and BNTT's statistics of a new `model` to those of an epoch, `path`, of another training."""
    if not path.is_file():
        raise InputError(f"training.start: {path}: no such file; give epochs/best.ckpt of a training's folder")
    try:
        state = read_epoch(path)["state_dict"].items()
    except InputError as error:
        raise InputError(f"training.start: {finding(error)}") from None
    found = {name.removeprefix(PREFIX): value for name, value in state if name.startswith(PREFIX)}
    expected = model.state_dict()
    for name in expected | found:
        here, there = (tuple(state[name].shape) if name in state else "none" for state in (expected, found))
        if here != there:
            raise InputError(
                f"training.start: {path}: {name} has shape {there}, the network to train has {here}; "
                "layers, timesteps and classes must be the same"
            )
    model.load_state_dict(found)


def settings_of(config: Config) -> dict[str, Any]:
    """The settings of a training, such as "training.epochs", as plain values."""
    sections = {name: getattr(config, name).model_dump(mode="json") for name in ("data", "network", "training")}
    return {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}


def epoch_to_resume(config: Config, out: Path, console: Console) -> tuple[Path, dict[str, Any]]:
    """File and last finished epoch of a training in `out`; the best one, with a line, where that file is damaged."""
    damaged: list[str] = []
    for path in (found := finished_epochs(out)):
        try:
            epoch = read_epoch(path)
        except InputError as error:
            damaged.append(finding(error))
            continue
        for name, now in settings_of(config).items():
            then = epoch["settings"].get(name)
            if now != then and name not in MAY_CHANGE:
                raise InputError(
                    f"{path}: the training has {name} {printable(str(then))}, now it is {printable(str(now))}; "
                    "resume with the same settings, or begin another with training.start"
                )
        if damaged:
            console.print(f"{damaged[0]}; going on after epoch {epoch['epoch'] + 1}, from {path}", soft_wrap=True)
        return path, epoch
    raise InputError(f"{damaged[0]}; no other epoch is whole, remove {found[0].parent} and train from the start")
