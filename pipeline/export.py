"""python -m pipeline.export: a checkpoint as float32 and fixed-point networks, and what rounding costs in accuracy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.progress import track

from pipeline.cli.command_line import Positional, parse_command
from pipeline.cli.errors import exit_codes
from recordings.errors import InputError
from recordings.lock import out_lock

from .config import Section

PROG = "python -m pipeline.export"
DESCRIPTION = """Export a checkpoint to float32 and to Loihi-style fixed point, and compare their accuracy.

Both networks see the same Poisson spikes, over several seeds; the table pairs them. A network with constant-current
input sees the same image whatever the seed, so it is measured once.

examples:
  python -m pipeline.export cluttered-digits --out runs/export
  python -m pipeline.export tiny-imagenet-10 --data tiny-imagenet-200.zip --seeds 10 --out runs/export-tiny"""


class ExportCommand(Section):
    """Options of the command."""

    checkpoint: Positional[str] = Field(description="a bundled checkpoint's name, or a checkpoint file")
    out: Path = Field(Path("runs/export"), description="folder for the two networks and accuracy.json")
    data: tuple[str, ...] = Field(("cluttered-digits",), description="labelled images to measure on")
    samples: int = Field(1000, ge=1, description="at most so many, from a class-balanced order")
    seeds: int = Field(10, ge=1, description="Poisson seeds 0, 1, …")
    device: str = Field("auto", description="of the torch backend: auto, cpu, cuda, cuda:1")


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, write both networks, measure, report."""
    command = parse_command(ExportCommand, argv, prog=PROG, description=DESCRIPTION)
    from backends.available import make_backend
    from backends.network.quantise import quantise  # torch is slow to import, --help need not wait
    from backends.network.storage import write_network
    from pipeline.networks.checkpoint import load_checkpoint

    from .images.samples import choose_samples

    checkpoint = load_checkpoint(command.checkpoint)
    if checkpoint.network.precision != "float32":
        raise InputError(f"checkpoint {command.checkpoint!r} is in fixed point already, expected float32")
    networks = {"float32": checkpoint.network, "fixed": quantise(checkpoint.network)}
    source = command.data[0] if len(command.data) == 1 else command.data
    samples = choose_samples(source, checkpoint, command.samples, seed=0)
    labels = samples.table.label
    if labels.min() < 0:
        raise InputError(f"{samples.name}: holds images without labels, expected labelled ones")
    terminal = Console(stderr=True)
    backend = make_backend("auto", command.device)
    with out_lock(command.out):
        for precision, network in networks.items():
            write_network(network, command.out / f"network.{precision}.safetensors")
        seeds = command.seeds if checkpoint.network.encoder == "poisson" else 1
        chosen: dict[str, list[NDArray[np.int64]]] = {precision: [] for precision in networks}
        everything = list(range(len(samples)))
        for seed in track(range(seeds), "measuring", console=terminal, disable=not terminal.is_terminal):
            for inputs in samples.encoded(everything, checkpoint.network, seed, 16):
                for precision, network in networks.items():
                    batches = backend.run(network, [inputs], inputs.shape[-4])
                    chosen[precision].extend(batch.readout.argmax(axis=1) for batch in batches)
        report = paired_accuracy({name: np.concatenate(parts) for name, parts in chosen.items()}, labels, seeds)
        report |= {"checkpoint": command.checkpoint, "dataset": samples.name, "samples": len(samples)}
        (command.out / "accuracy.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{samples.name}, {len(samples)} images × {seeds} seed{'s' * (seeds > 1)}: "
        f"float32 {report['float32']:.2%}, fixed {report['fixed']:.2%}; "
        f"fixed − float32 {100 * report['difference']:+.2f} points "
        f"(95 % interval over seeds {100 * report['low']:+.2f} … {100 * report['high']:+.2f})"
    )
    for precision in networks:
        console.print(str(command.out / f"network.{precision}.safetensors"))


def paired_accuracy(predictions: dict[str, NDArray[np.int64]], labels: NDArray[np.int32], seeds: int) -> dict[str, Any]:
    """Accuracy of both precisions and their difference, seed by seed on the same spikes.

    Parameters
    ----------
    predictions : "float32" and "fixed" -> (seeds · N,), seed by seed
    labels : (N,)

    Returns
    -------
    accuracies, mean difference (fixed - float32) and its normal 95 % interval over seeds; 0-width for a single seed
    """
    by_seed = {name: (found.reshape(seeds, -1) == labels).mean(axis=1) for name, found in predictions.items()}
    differences = by_seed["fixed"] - by_seed["float32"]
    half = 1.96 * differences.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else 0.0
    mean = float(differences.mean())
    return {
        "float32": float(by_seed["float32"].mean()),
        "fixed": float(by_seed["fixed"].mean()),
        "difference": mean,
        "low": mean - float(half),
        "high": mean + float(half),
        "seeds": seeds,
        "accuracy_by_seed": {name: values.tolist() for name, values in by_seed.items()},
    }


if __name__ == "__main__":
    main()
