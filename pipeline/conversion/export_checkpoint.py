"""A checkpoint as float32 and fixed-point networks, with the accuracy of both on equal input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from spikesam.backends.available import make_backend
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.storage import write_network
from spikesam.common.disk import write_file
from spikesam.common.errors import OVERWRITE, InputError
from spikesam.common.lock import out_lock
from spikesam.common.progress import Tracker
from spikesam.pipeline.imports.nir.write import to_nir
from spikesam.pipeline.measures.statistics import PairedAccuracy, paired_accuracy
from spikesam.pipeline.networks.checkpoint import load
from spikesam.pipeline.networks.precisions import predictions_by_seed
from spikesam.pipeline.networks.samples import choose_samples


def export_checkpoint(
    source: str,
    out: Path,
    *,
    data: str | None,
    samples: int,
    seeds: int,
    nir: Path | None,
    device: str,
    download: bool,
    overwrite: bool,
) -> tuple[str, list[Path]]:
    """Write a checkpoint in both precisions, and measure it; a line about its accuracy, and the
    files written.
    """
    checkpoint = load(source, "snn")
    if checkpoint.network.precision != "float32":
        raise InputError(f"checkpoint {source!r} is in fixed point already, expected float32")
    chosen = choose_samples(data, checkpoint, samples, seed=0, download=download)
    labels = chosen.known_labels()
    for note in chosen.notes(samples):
        Tracker().say(note)
    backend = make_backend("auto", device)
    seeds = seeds if checkpoint.network.encoder == "poisson" else 1
    networks = {"float32": checkpoint.network, "fixed": quantise(checkpoint.network)}
    files = [out / f"network.{precision}.safetensors" for precision in networks]
    with out_lock(out, "" if overwrite else OVERWRITE):
        if nir is not None:  # first, because it may be refused
            to_nir(checkpoint.network, nir, overwrite=overwrite)
        for path, network in zip(files, networks.values(), strict=True):
            write_network(network, path)
        float32, fixed = predictions_by_seed([*networks.values()], backend, chosen, _shown(seeds))
        accuracy = paired_accuracy(float32, fixed, labels)
        report = {
            **asdict(accuracy),
            "checkpoint": source,
            "dataset": chosen.name,
            "samples": len(chosen),
        }
        write_file(out / "accuracy.json", (json.dumps(report, indent=2) + "\n").encode())
    line = f"{chosen.name}, {len(chosen)} {chosen.kind} × {accuracy_text(accuracy)}"
    return line, files if nir is None else [*files, nir]


def _shown(seeds: int) -> Iterator[int]:
    """The seeds, with a bar that advances where each is done."""
    with Tracker().show("measuring", seeds) as advance:
        for seed in range(seeds):
            yield seed
            advance(1)


def accuracy_text(accuracy: PairedAccuracy) -> str:
    """ "2 seeds: float32 96.00%, fixed 95.00%; fixed − float32 -1.00 points (95 % interval over
    seeds …)".
    """
    text = (
        f"{accuracy.seeds} seed{'s' * (accuracy.seeds > 1)}: float32 {accuracy.float32:.2%}, fixed "
        f"{accuracy.fixed:.2%}; "
        f"fixed − float32 {100 * accuracy.difference:+.2f} points"
    )
    if accuracy.low is None or accuracy.high is None:
        return text
    return (
        f"{text} (95 % interval over seeds {100 * accuracy.low:+.2f} … {100 * accuracy.high:+.2f})"
    )
