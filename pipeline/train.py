"""Train a spiking network with surrogate gradients (backpropagation through time) into a
checkpoint.

With --network.neuron relu, train its artificial twin instead, for spikesam convert.

examples:
  spikesam train --config cluttered_digits --out runs/digits
  spikesam train --config tiny_imagenet_10 --data.source tiny-imagenet-200.zip --out runs/tiny
  spikesam train --config cluttered_digits_ann --out runs/digits-ann

Stopped? The same command with --resume continues after the last finished epoch, as if it had never
stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.text import shell_command
from spikesam.pipeline.cli.command_line import parse_with_config
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import ConfigFile
from spikesam.pipeline.config import (
    DataSection,
    NetworkSection,
    Section,
    TrainingSection,
    load_config,
)


class TrainCommand(Section):
    """Options of the command."""

    data: DataSection = DataSection()
    network: NetworkSection = NetworkSection()
    training: TrainingSection = TrainingSection()
    config: ConfigFile = None
    out: Path = Field(
        Path("runs/train"), description="folder for the checkpoint, logs and resolved configuration"
    )
    resume: bool = Field(False, description="continue after the last finished epoch in --out")


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, train, say what follows."""
    command, config = parse_with_config(
        TrainCommand, load_config, argv, prog="spikesam train", description=__doc__
    )
    from spikesam.pipeline.training.fit import train  # torch is slow to import

    train(config, command.out, resume=command.resume)
    path = command.out / "checkpoint.safetensors"
    words = ["convert"] if config.network.neuron == "relu" else ["run", "--checkpoint"]
    following = shell_command("spikesam", *words, path, "--data", config.data.source)
    PlainConsole(soft_wrap=True).print(f"checkpoint: {path}", f"next: {following}", sep="\n")


if __name__ == "__main__":
    main()
