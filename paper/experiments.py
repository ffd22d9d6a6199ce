"""The experiments: each is a module of this package with one function, run(setup) -> Result."""

from __future__ import annotations

import importlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from spikesam.pipeline.config import save_config

if TYPE_CHECKING:
    from paper.common.result import Result
    from paper.common.setup import Setup  # torch is slow to import, --help need not wait

EXPERIMENTS = {
    "fig2": "SNN-crafted Grad-CAM smooths out in shallow layers, SAM does not (maps)",
    "fig3": "variance of SAM and of SNN-crafted Grad-CAM, layer by layer",
    "fig5": "SAM by layer and step, surrogate against converted; on every backend",
    "fig6": "localisation error, and spike rate over time, surrogate against converted",
    "table1": "localisation error and accuracy at three leaks",
    "fig7": "maps before and after an attack",
    "fig8": "localisation error against γ",
    "fig9": "accuracy against attack strength, and how far heatmaps move",
    "fig10": "two objects in one image",
    "localisation": "beyond the paper: where the centre prior is powerless, does the map find the object?",
    "faithfulness": "beyond the paper: insertion and deletion of the pixels a map points at",
    "rivals": "beyond the paper: relevance, its rivals, and maps without a class, by deletion of spikes and pixels",
    "rivals_trainings": "beyond the paper: relevance against SAM in several trainings of a small network",
    "randomisation": "beyond the paper: does the map change when weights are shuffled, layer by layer?",
    "timing": "beyond the paper: does timing say more than counts, where the classes have equal counts?",
    "doses": "beyond the paper: decay of BNTT's gains, dose by dose, and the burst at the end of a recording",
    "same_weights": "beyond the paper: a converted network under attack, against the ANN of the same weights",
}


def run_experiment(name: str, setup: Setup, command: str) -> Result:
    """Run one experiment and write what it found, with the configuration and the command, into the setup's folder.

    Its claims are judged together, see :func:`paper.common.claims.over_family`.
    """
    from paper.common.claims import over_family
    from paper.common.result import write_result

    setup.cache.found.clear()
    begun = time.perf_counter()
    result = importlib.import_module(f".{name}", __package__).run(setup)
    seconds = time.perf_counter() - begun
    result = replace(result, claims=over_family(result.claims))
    digests = setup.networks.digests if result.networks is None else result.networks
    about = {
        "images": result.samples or setup.images.name,
        "seed": str(setup.settings.seed),
        "command": command,
        "seconds": f"{seconds:.0f}",
        "seconds before": f"{sum(setup.cache.found.values()):.0f}",
        **{f"network, {network}": digest for network, digest in digests.items()},
    }
    write_result(name, result, about, setup.out)
    save_config(setup.config, setup.out / "config.toml")
    return result
