"""Beyond the paper: robustness of a network converted to spikes, against the very ANN that it has
its weights from.

fig9 compares networks that were trained apart: what differs there may be the training, not the
spikes. A converted network has the weights of its ANN, so what differs here is the spikes alone,
and that they come in whole numbers. So beside the ANN stands the ANN whose activations are rounded
to T + 1 levels, up to the thresholds: what that survives, no spike explains. The ANN is converted
for two inputs: a constant current, where nothing is random, and Poisson spikes. T is small, since
each step of an attack runs all of it forward and back, and the rule of conversion is the one that
needs the fewest steps.

The attacks are as strong as could be afforded, since a weak one makes any network look robust:

* PGD of 100 steps, begun at the image and again at random points (restarts), but for the second and
  later widths.
* Each converted network is attacked through its own surrogate gradient, with surrogates of several
  widths, and through the ANN's, which is the exact gradient of what it approximates; the rounded
  ANN through its own too, which passes straight through the rounding. An image counts as kept only
  if it survives all of them.
* Where the input is Poisson, the attack's loss is the mean over draws, and the answer is the share
  of 20 other draws in which the network is right. Each step of the attack sees some of its 20
  draws, in turn.
* ε rises until accuracy is at chance. What breaks an image at one strength breaks it at all larger
  ones, since the changed image is within reach of those, too. So an image that is never right any
  more is attacked no further.

Attacked are the float32 networks, and these give the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from paper.common.attacks import ATTACKERS, pgd
from paper.common.images import ImageSet
from paper.common.result import Claim, Result
from paper.common.setup import Setup
from paper.fig9 import hits, robustness_claim
from paper.measures.tables import measured, minus, rows, summary_of_differences, summary_of_shares
from spikesam import InputError, Network
from spikesam.figures import CurveOptions, draw_curves
from spikesam.gradients import DifferentiableNetwork, predictions
from spikesam.training import calibration_of, converted

ANN, LEVELS = "ANN", "ANN in T + 1 levels"
CURRENT, POISSON = "converted, constant current", "converted, Poisson"
PAIRS = (
    (CURRENT, ANN),
    (POISSON, ANN),
    (LEVELS, ANN),
    (CURRENT, LEVELS),
    (POISSON, LEVELS),
)  # that are compared
WORST, OWN = "worst of all attacks", "its own gradient"
THROUGH_ANN = "the ANN's gradient"
TOGETHER = 10  # images of one entry of the cache


def run(setup: Setup) -> Result:
    """Attack each network at rising strengths."""
    section, images = setup.config.same_weights, labelled(setup)
    models, epsilons = models_of(setup), sorted({0.0, *section.epsilons})
    if epsilons[0] < 0 or epsilons[-1] > 1:
        raise InputError(
            f"same_weights.epsilons: got {section.epsilons}, expected numbers in 0 … 1"
        )
    found = pd.concat([survivals(setup, images, name, models, epsilons) for name in models])
    worst = rows(found, measure="accuracy").assign(change=WORST)
    tables = [summary_of_shares(worst)]
    for name, other in PAIRS:
        apart = minus(rows(worst, network=name), rows(worst, network=other), "epsilon")
        apart = apart.assign(network=f"{name} − {other}")
        tables.append(summary_of_differences(apart, setup.settings.seed))
    draw(setup, tables[0])
    claims = [claim_of(worst, name, other, setup.settings.seed) for name, other in PAIRS]
    broken = found[found["measure"] != "accuracy"].assign(change="")
    table, every = pd.concat([*tables, summary_of_shares(broken)]), pd.concat([worst, broken])
    title = "Robustness with the same weights: converted against its own ANN"
    return Result(title, table, claims, notes(setup, found), every)


def labelled(setup: Setup) -> ImageSet:
    """The images to attack."""
    images = setup.validation(setup.config.same_weights.images)
    if (images.labels < 0).any():
        raise InputError(
            f"{images.name}: got images without classes, expected labelled ones; use class folders"
        )
    return images


class InLevels(DifferentiableNetwork):
    """An ANN whose activations are rounded to 0 … `levels` times θ / levels; gradients pass through
    up to θ.
    """

    def __init__(self, ann: Network, worths: Mapping[str, NDArray[Any]], levels: int) -> None:
        super().__init__(ann)
        for layer, module in zip(ann.layers, self.layers, strict=True):
            module.register_forward_hook(
                partial(_rounded, from_numpy(np.float32(worths[layer.name])), levels)
            )


def _rounded(theta: Tensor, levels: int, module: Any, given: Any, values: Tensor) -> Tensor:
    theta = theta.reshape(-1, *[1] * (values.ndim - 2))  # of (B, C, …)
    clipped = values.minimum(theta)
    return clipped + ((clipped * levels / theta + 0.5).floor() * theta / levels - clipped).detach()


def models_of(setup: Setup) -> dict[str, DifferentiableNetwork]:
    """The ANN, the same rounded, and what it is converted to for two inputs."""
    section, ann = setup.config.same_weights, setup.networks.ann
    update = {"timesteps": section.timesteps, "rule": section.rule}
    of_input = {
        name: setup.config.conversion.model_copy(update={**update, "encoder": encoder})
        for name, encoder in ((CURRENT, "constant-current"), (POISSON, "poisson"))
    }
    _, worths = converted(ann.network, calibration_of(ann, setup.config), of_input[CURRENT])
    found = {
        ANN: DifferentiableNetwork(ann.network),
        LEVELS: InLevels(ann.network, worths, section.timesteps),
    }
    return found | {
        name: DifferentiableNetwork(setup.networks.converted_as(each).network)
        for name, each in of_input.items()
    }


def survivals(
    setup: Setup,
    images: ImageSet,
    name: str,
    models: Mapping[str, DifferentiableNetwork],
    epsilons: list[float],
) -> pd.DataFrame:
    """Answers of one network that are left at each strength, and what broke the others: image,
    measure, …, value.

    The measure "accuracy" is the share of draws in which the answer is right, under the worst
    attack so far; "broken by …" is 1 where that attack made all draws wrong.
    """
    parts, chunks = (
        [],
        [
            range(start, min(start + TOGETHER, len(images)))
            for start in range(0, len(images), TOGETHER)
        ],
    )
    for end, epsilon in enumerate(epsilons, 1):
        found = [
            worst_case(setup, images.pick(chunk), name, models, epsilons[:end]) for chunk in chunks
        ]
        right, by = (np.concatenate([each[part] for each in found]) for part in ("right", "by"))
        parts.append(measured(right, measure="accuracy", network=name, epsilon=epsilon))
        for number, through in enumerate(attackers(setup, name, models)):
            parts.append(
                measured(
                    by == number, measure=f"broken by {through}", network=name, epsilon=epsilon
                )
            )
    return pd.concat(parts)


def attackers(
    setup: Setup, name: str, models: Mapping[str, DifferentiableNetwork]
) -> dict[str, DifferentiableNetwork]:
    """The models through which a network is attacked, in turn, by name of the gradient: the cheap
    one first.
    """
    own = models[name]
    if name in (ANN, LEVELS):
        return {OWN: own} if name == ANN else {THROUGH_ANN: models[ANN], OWN: own}
    widths = {f"{OWN}, width {each:g}": each for each in setup.config.same_weights.widths}
    return {THROUGH_ANN: models[ANN]} | {
        told: DifferentiableNetwork(own.network, width) for told, width in widths.items()
    }


def worst_case(
    setup: Setup,
    images: ImageSet,
    name: str,
    models: Mapping[str, DifferentiableNetwork],
    epsilons: list[float],
) -> dict[str, NDArray[Any]]:
    """One network after attacks of ascending strengths, from 0 on; each is computed once, then
    cached.

    right : (N,) share of draws in which an image is right under the worst attack; by : (N,) which
    of :func:`attackers` left no draw right, -1 if none did
    """
    section, settings = setup.config.same_weights, setup.settings
    victim, (*before, epsilon) = models[name], epsilons

    def compute() -> dict[str, NDArray[Any]]:
        if not before:
            return {"right": share_right(setup, victim, images), "by": np.full(len(images), -1)}
        found = worst_case(setup, images, name, models, before)
        right, by = found["right"], found["by"]
        through = attackers(setup, name, models)
        attacks = [
            (number, model, restart)
            for number, model in enumerate(through.values())
            for restart in range(
                section.restarts if number < 2 else 1
            )  # further widths start at the image alone
        ]
        with setup.progress(f"attacks on {name}, ε = {epsilon:g}", len(attacks)) as advance:
            for number, model, restart in attacks:
                alive = np.flatnonzero(right > 0).tolist()
                if alive:
                    if model is models[ANN]:
                        changed = through_ann(setup, model, images, epsilon, restart).pick(alive)
                    else:
                        changed = attacked(setup, model, images.pick(alive), epsilon, restart)
                    left = share_right(setup, victim, changed)
                    right[alive], by[np.array(alive)[left == 0]] = (
                        np.minimum(right[alive], left),
                        number,
                    )
                advance(1)
        return {"right": right, "by": by}

    inputs = {
        "victim": name,
        "networks": {each: model.network.sha256 for each, model in models.items()},
        "images": images.sha256,
        "epsilons": epsilons,
        "seed": settings.seed,
        **section.model_dump(
            mode="json",
            include={"timesteps", "iterations", "restarts", "draws", "at_once", "widths"},
        ),
    }
    return setup.cache.arrays("survivals", inputs, compute)


def through_ann(
    setup: Setup, ann: DifferentiableNetwork, images: ImageSet, epsilon: float, restart: int
) -> ImageSet:
    """The same through the ANN, whichever network they are for; cached."""
    iterations, seed = setup.config.same_weights.iterations, setup.settings.seed
    inputs = {
        "ann": ann.network.sha256,
        "images": images.sha256,
        "epsilon": epsilon,
        "restart": restart,
    }
    found = setup.cache.arrays(
        "through-ann",
        inputs | {"iterations": iterations, "seed": seed},
        lambda: {"pixels": attacked(setup, ann, images, epsilon, restart).pixels},
    )
    return replace(images, pixels=found["pixels"])


def attacked(
    setup: Setup, model: DifferentiableNetwork, images: ImageSet, epsilon: float, restart: int
) -> ImageSet:
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


def share_right(
    setup: Setup, model: DifferentiableNetwork, images: ImageSet
) -> NDArray[np.float64]:
    """In what share of the draws the network answers right: (N,)."""
    settings, chosen, network = setup.settings, range(len(images)), model.network
    right = [
        predictions(model, images.encoded(chosen, network, seed, settings.batch_size))
        == images.labels
        for seed in range(settings.seed, settings.seed + draws_of(setup, network))
    ]
    share: NDArray[np.float64] = np.mean(right, axis=0)
    return share


def claim_of(worst: pd.DataFrame, name: str, other: str, seed: int) -> Claim:
    """A network keeps its answers longer than another, on the images that both get right when
    clean.
    """
    second, first = (hits(worst, network, [WORST]) for network in (other, name))
    what = (
        f"share of the range of ε survived under the worst of all attacks, {name}, against {other}"
    )
    return robustness_claim(what, second, first, seed, (other, name))


def notes(setup: Setup, found: pd.DataFrame) -> list[str]:
    """How strong the attacks were, and which gradient broke what."""
    section = setup.config.same_weights
    by = found[found["measure"] != "accuracy"].drop_duplicates(
        ["image", "network", "measure"], keep="last"
    )
    broken = by.groupby(["network", "measure"], sort=False)["value"].sum().astype(int)
    told = [
        f"{name}: {', '.join(f'{count} {measure}' for (_, measure), count in of_network.items())}"
        for name, of_network in broken.groupby(level=0, sort=False)
    ]
    return [
        f"{section.images} images. Each attack: {section.iterations} steps of PGD, from the image "
        "and from "
        f"{section.restarts - 1} random point(s), through each gradient; through surrogates of "
        "further widths from the "
        f"image alone. Converted by the rule {section.rule!r}, "
        f"T = {section.timesteps}; the rounded ANN has {section.timesteps + 1} levels. Where the "
        "input is Poisson, "
        f"answers are means over {section.draws} draws; the attacker has {section.draws} others, "
        "of which each step "
        f"sees {section.at_once}, in turn. An image that is wrong in all draws is attacked no "
        "further, and counts as "
        "wrong at all larger ε. The share of the range of ε survived is the area under the curve "
        "of right answers.",
        "A network whose gradient misleads would be broken by the other gradient alone. By any "
        "strength, "
        f"{'; '.join(told)}, of {section.images} images. The ANN's gradient is tried first, then "
        "the network's own, by "
        "width of its surrogate in thresholds, each on what those before leave.",
    ]


def draw(setup: Setup, accuracies: pd.DataFrame) -> None:
    """Accuracy against strength, a curve per network."""
    points = accuracies.assign(curve=accuracies["network"], x=accuracies["epsilon"])
    points[["mean", "low", "high"]] *= 100
    chance = 100 / setup.networks.ann.network.classes
    section = setup.config.same_weights
    about = (
        f"{section.images} images, {section.iterations} steps of PGD, worst of {section.restarts} "
        "starts through each "
        "gradient; bands: 95 % interval"
    )
    title, axes = (
        "Accuracy under attack, with the same weights",
        ("ε, in the 0 … 1 range of a pixel", "accuracy, %"),
    )
    options = CurveOptions(level=(chance, "chance"), width=5.0)
    draw_curves(setup.out / "same_weights.png", title, about, points, *axes, options)
