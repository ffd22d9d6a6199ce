"""Where a training begins: with the parameters of another one, or after the epochs that it has finished itself."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from pipeline.config import Config, load_config
from recordings.errors import InputError
from recordings.text import printable

MAY_CHANGE = ("data.source", "training.workers", "training.start")  # when a training is resumed
PREFIX = "model."  # of the network's parameters in a file of TrainingModule


def start_from(model: nn.Module, path: Path) -> None:
    """Set the parameters and BNTT's statistics of `model` to those of an epoch of another training.

    Parameters
    ----------
    model : the network, newly built
    path : `epochs/best.ckpt` or `epochs/last.ckpt` in the folder of a training; its input may have had another size

    Raises
    ------
    InputError : if there is no such file, or its parameters have other names or shapes
    """
    if not path.is_file():
        raise InputError(f"training.start: {path}: no such file; give epochs/best.ckpt of a training's folder")
    try:
        epoch = dict(torch.load(path, map_location="cpu", weights_only=True))
        state = epoch["state_dict"].items()
        found = {name.removeprefix(PREFIX): value for name, value in state if name.startswith(PREFIX)}
    except (UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, EOFError, OSError):
        raise InputError(f"training.start: {path}: not an epoch that pipeline.train saved") from None
    expected = model.state_dict()
    for name in expected | found:
        here, there = (tuple(state[name].shape) if name in state else "none" for state in (expected, found))
        if here != there:
            raise InputError(
                f"training.start: {path}: {name} has shape {there}, the network to train has {here}; "
                "layers, timesteps and classes must be the same"
            )
    model.load_state_dict(found)


def check_resumable(config: Config, saved: Path) -> None:
    """Refuse to go on with a training whose settings, in its `config.toml`, were others than those that may change."""
    if not saved.is_file():
        return
    earlier = load_config(saved)
    for section in ("data", "network", "training"):
        now, then = (getattr(each, section).model_dump(mode="json") for each in (config, earlier))
        for key in now:
            if now[key] != then[key] and f"{section}.{key}" not in MAY_CHANGE:
                raise InputError(
                    f"{saved}: the training has {section}.{key} {printable(str(then[key]))}, now it is "
                    f"{printable(str(now[key]))}; resume with the same settings, or begin another with training.start"
                )
