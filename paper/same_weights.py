"""Beyond the paper: robustness of a network converted to spikes, against the very ANN that it has its weights from.

fig9 compares networks that were trained apart: what differs there may be the training, not the spikes. A converted
network has the weights of its ANN, so what differs here is the spikes alone. The ANN is converted for two inputs: a
constant current, where nothing is random, and Poisson spikes. T is small, since each step of an attack runs all of it
forward and back, and the rule of conversion is the one that needs the fewest steps.

The attacks are as strong as could be afforded, since a weak one makes any network look robust:

* PGD of 100 steps, begun at the image and again at random points (restarts).
* Each converted network is attacked through its own surrogate gradient and through the ANN's, which is the exact
  gradient of what it approximates. An image counts as kept only if it survives all of them.
* Where the input is Poisson, the attack's loss is the mean over draws, and the answer is the share of 20 other draws in
  which the network is right. Each step of the attack sees some of its 20 draws, in turn.
* ε rises until accuracy is at chance. What breaks an image at one strength breaks it at all larger ones, since the
  changed image is within reach of those, too. So an image that is never right any more is attacked no further.

Attacked are the float32 networks, and these give the answers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.attacks import ATTACKERS, pgd
from paper.common.images import ImageSet
from paper.common.result import Claim, Result
from paper.common.setup import Setup
from paper.fig9 import hits, robustness_claim
from paper.measures.tables import measured, minus, rows, summary, summary_of_shares
from spikesam.backends.network import Network
from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork, predictions
from spikesam.recordings.errors import InputError

ANN, CURRENT, POISSON = "ANN", "converted, constant current", "converted, Poisson"
WORST, OWN = "worst of all attacks", "its own gradient"
THROUGH_ANN = "the ANN's gradient"


def run(setup: Setup) -> Result:
    """Attack each network at rising strengths."""
    section, images = setup.config.same_weights, labelled(setup)
    networks, epsilons = networks_of(setup), sorted({0.0, *section.epsilons})
    if epsilons[0] < 0 or epsilons[-1] > 1:
        raise InputError(f"same_weights.epsilons: got {section.epsilons}, expected numbers in 0 … 1")
    found = pd.concat([survivals(setup, images, name, networks, epsilons) for name in networks])
    worst = rows(found, measure="accuracy").assign(change=WORST)
    tables = [summary_of_shares(worst)]
    for name in (CURRENT, POISSON):
        apart = minus(rows(worst, network=name), rows(worst, network=ANN), "epsilon")
        tables.append(summary(apart.assign(network=f"{name} − ANN"), setup.settings.seed))
    draw(setup, tables[0])
    claims = [claim_of(worst, name, setup.settings.seed) for name in (CURRENT, POISSON)]
    broken = found[found["measure"] != "accuracy"].assign(change="")
    table, every = pd.concat([*tables, summary_of_shares(broken)]), pd.concat([worst, broken])
    title = "Robustness with the same weights: converted against its own ANN"
    return Result(title, table, claims, notes(setup, found), every)


def labelled(setup: Setup) -> ImageSet:
    """The images to attack."""
    images = setup.validation(setup.config.same_weights.images)
    if (images.labels < 0).any():
        raise InputError(f"{images.name}: got images without classes, expected labelled ones; use class folders")
    return images


def networks_of(setup: Setup) -> dict[str, Network]:
    """The ANN, and what it is converted to for two inputs."""
    section = setup.config.same_weights
    update = {"timesteps": section.timesteps, "rule": section.rule}
    found = {ANN: setup.networks.ann.network}
    for name, encoder in ((CURRENT, "constant-current"), (POISSON, "poisson")):
        settings = setup.config.conversion.model_copy(update={**update, "encoder": encoder})
        found[name] = setup.networks.converted_as(settings).network
    return found


def survivals(
    setup: Setup, images: ImageSet, name: str, networks: dict[str, Network], epsilons: list[float]
) -> pd.DataFrame:
    """Answers of one network that are left at each strength, and what broke the others: image, measure, …, value.

    The measure "accuracy" is the share of draws in which the answer is right, under the worst attack so far; "broken by
    …" is 1 where that attack made all draws wrong.
    """
    parts = []
    for end, epsilon in enumerate(epsilons, 1):
        found = worst_case(setup, images, name, networks, epsilons[:end])
        parts.append(measured(found["right"], measure="accuracy", network=name, epsilon=epsilon))
        for number, through in enumerate(throughs(name)):
            broken = found["by"] == number
            parts.append(measured(broken, measure=f"broken by {through}", network=name, epsilon=epsilon))
    return pd.concat(parts)


def throughs(name: str) -> list[str]:
    """The gradients that a network is attacked through, in turn: the cheap one first."""
    return [OWN] if name == ANN else [THROUGH_ANN, OWN]


def worst_case(
    setup: Setup, images: ImageSet, name: str, networks: dict[str, Network], epsilons: list[float]
) -> dict[str, NDArray[Any]]:
    """One network after attacks of ascending strengths, from 0 on; each is computed once, then cached.

    right : (N,) share of draws in which an image is right under the worst attack; by : (N,) which of :func:`throughs`
    left no draw right, -1 if none did
    """
    section, settings = setup.config.same_weights, setup.settings
    victim, (*before, epsilon) = networks[name], epsilons

    def compute() -> dict[str, NDArray[Any]]:
        if not before:
            return {"right": share_right(setup, victim, images), "by": np.full(len(images), -1)}
        found = worst_case(setup, images, name, networks, before)
        right, by = found["right"], found["by"]
        attackers = {OWN: victim, THROUGH_ANN: networks[ANN]}
        with setup.progress(f"attacks on {name}, ε = {epsilon:g}", len(throughs(name)) * section.restarts) as advance:
            for number, through in enumerate(throughs(name)):
                model = DifferentiableNetwork(attackers[through])
                for restart in range(section.restarts):
                    alive = np.flatnonzero(right > 0)
                    if alive.size:
                        changed = attacked(setup, model, images.pick(alive.tolist()), epsilon, restart)
                        left = share_right(setup, victim, changed)
                        right[alive], by[alive[left == 0]] = np.minimum(right[alive], left), number
                    advance(1)
        return {"right": right, "by": by}

    inputs = {
        "network": victim.sha256,
        "ann": networks[ANN].sha256,
        "images": images.sha256,
        "epsilons": epsilons,
        "seed": settings.seed,
        **section.model_dump(mode="json", include={"iterations", "restarts", "draws", "at_once"}),
    }
    return setup.cache.arrays("survivals", inputs, compute)


def attacked(setup: Setup, model: DifferentiableNetwork, images: ImageSet, epsilon: float, restart: int) -> ImageSet:
    """The images changed by one PGD through a network; restart 0 begins at the images."""
    section, settings = setup.config.same_weights, setup.settings
    first = settings.seed + ATTACKERS
    changed = pgd(
        model,
        images.pixels,
        images.labels,
        epsilon,
        images.preprocessing,
        range(first, first + draws_of(setup, model.network)),
        images.indices,
        section.iterations,
        at_once=section.at_once if is_random(model.network) else None,
        start=restart or None,
    )
    return replace(images, pixels=changed)


def is_random(network: Network) -> bool:
    """True if the network's input is drawn at random."""
    return network.encoder == "poisson"


def draws_of(setup: Setup, network: Network) -> int:
    """How many draws of its input count: one where nothing is random."""
    return setup.config.same_weights.draws if is_random(network) else 1


def share_right(setup: Setup, network: Network, images: ImageSet) -> NDArray[np.float64]:
    """In what share of the draws the network answers right: (N,)."""
    settings, chosen = setup.settings, range(len(images))
    right = [
        predictions(network, images.encoded(chosen, network, seed, settings.batch_size)) == images.labels
        for seed in range(settings.seed, settings.seed + draws_of(setup, network))
    ]
    share: NDArray[np.float64] = np.mean(right, axis=0)
    return share


def claim_of(worst: pd.DataFrame, name: str, seed: int) -> Claim:
    """The converted network keeps its answers longer than its ANN, on the images that both get right when clean."""
    ann, converted = (hits(worst, network, [WORST]) for network in (ANN, name))
    what = f"share of the range of ε survived under the worst of all attacks, {name}, against its own ANN"
    return robustness_claim(what, ann, converted, seed)


def notes(setup: Setup, found: pd.DataFrame) -> list[str]:
    """How strong the attacks were, and which gradient broke what."""
    section = setup.config.same_weights
    return [
        f"{section.images} images. Each attack: {section.iterations} steps of PGD, from the image and from "
        f"{section.restarts - 1} random point(s), through each gradient. Converted by the rule {section.rule!r}, "
        f"T = {section.timesteps}. Where the input is Poisson, answers are means over {section.draws} draws; the "
        f"attacker has {section.draws} others, of which each step sees {section.at_once}, in turn. "
        "An image that is wrong in all draws is attacked no further, and counts as wrong at all larger ε. The share of "
        "the range of ε survived is the area under the curve of right answers.",
        "A network whose gradient misleads would be broken by the other gradient alone. By any strength, "
        + "; ".join(
            f"{name}: {', '.join(f'{through} broke {broken(found, name, through)}' for through in throughs(name))}"
            for name in found["network"].unique()
        )
        + f" of {section.images} images. The ANN's gradient is tried first, the network's own on what that leaves.",
    ]


def broken(found: pd.DataFrame, name: str, through: str) -> int:
    """How many images a gradient broke, at any strength."""
    of_attack = rows(found, network=name, measure=f"broken by {through}")
    return int(rows(of_attack, epsilon=of_attack["epsilon"].max())["value"].sum())


def draw(setup: Setup, accuracies: pd.DataFrame) -> None:
    """Accuracy against strength, a curve per network."""
    points = accuracies.assign(curve=accuracies["network"], x=accuracies["epsilon"])
    points[["mean", "low", "high"]] *= 100
    chance = 100 / setup.networks.ann.network.classes
    section = setup.config.same_weights
    about = (
        f"{section.images} images, {section.iterations} steps of PGD, worst of {section.restarts} starts through each "
        "gradient; bands: 95 % interval"
    )
    title, axes = "Accuracy under attack, with the same weights", ("ε, in the 0 … 1 range of a pixel", "accuracy, %")
    options = CurveOptions(level=(chance, "chance"), width=5.0)
    draw_curves(setup.out / "same_weights.png", title, about, points, *axes, options)
