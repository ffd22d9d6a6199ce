"""python -m pipeline.train: surrogate-gradient training of a spiking network, or of its ANN twin, into a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from rich.console import Console

from pipeline.cli.command_line import parse_with_config
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import ConfigFile
from recordings.command_names import spelled
from recordings.console import PlainConsole
from recordings.errors import InputError
from recordings.lock import out_lock
from recordings.text import printable

from .config import DataSection, NetworkSection, Section, TrainingSection, load_config
from .networks.training.environment import end_together, process_rank

PROG = "python -m pipeline.train"
DESCRIPTION = """Train a spiking network with surrogate gradients (backpropagation through time) into a checkpoint.

With --network.neuron relu, train its artificial twin instead, for python -m pipeline.convert.

examples:
  python -m pipeline.train --config configs/cluttered_digits.toml --out runs/digits
  python -m pipeline.train --config configs/tiny_imagenet_10.toml --data.source tiny-imagenet-200.zip --out runs/tiny
  python -m pipeline.train --config configs/cluttered_digits_ann.toml --out runs/digits-ann

Stopped? The same command with --resume continues after the last finished epoch, as if it had never stopped."""


class TrainCommand(Section):
    """Options of the command."""

    data: DataSection = DataSection()
    network: NetworkSection = NetworkSection()
    training: TrainingSection = TrainingSection()
    config: ConfigFile = None
    out: Path = Field(Path("runs/train"), description="folder for the checkpoint, logs and resolved configuration")
    resume: bool = Field(False, description="continue after the last finished epoch in --out")


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, train, export, save."""
    end_together()  # before torch, which takes seconds to import
    command, config = parse_with_config(TrainCommand, load_config, argv, prog=PROG, description=DESCRIPTION)
    last = command.out / "epochs" / "last.ckpt"
    if command.resume and not last.is_file():
        raise InputError(f"{last}: no finished epoch to resume from; start without --resume")
    if not command.resume and (last.is_file() or (command.out / "checkpoint.safetensors").exists()):
        raise InputError(f"{command.out}: holds a training already; add --resume, or choose another --out")
    from .networks.training.fit import train, train_checkpoint  # torch is slow to import

    if process_rank() > 0:  # a further process of the same training, started by the first
        train(config, command.out, command.resume, Console(quiet=True))
        return
    with out_lock(command.out):
        path = train_checkpoint(config, command.out, command.resume, PlainConsole(stderr=True))
    following = "convert" if config.network.neuron == "relu" else "run --checkpoint"
    print(printable(f"checkpoint: {path}"))
    print(printable(spelled(f"next: python -m pipeline.{following} {path} --data {config.data.source}")))


if __name__ == "__main__":
    main()
