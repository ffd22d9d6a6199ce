"""What the paper says beside what was found: a claim is a view of a measured table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from paper.measures.inference import bootstrap_over_networks, holm, p_value
from paper.measures.tables import by_training, difference, rows, values
from spikesam.pipeline.measures.statistics import Estimate

LEVEL = 0.05  # of wrongly claimed differences

Verdict = Literal["yes", "no", "no difference seen", "cannot say"]


@dataclass(frozen=True)
class Claim:
    """One thing the paper says, and what was found here.

    Parameters
    ----------
    what : the quantity or direction
    paper : its figure or direction in the paper
    ours : what was measured here, with 95 % interval
    same : whether both agree
    n : number of images behind it
    gain : the difference that the verdict is about, if it is about one
    p : of there being none, where the verdict is a test
    p_holm : p, adjusted for all the claims of the experiment, see :func:`over_family`
    """

    what: str
    paper: str
    ours: str
    same: Verdict
    n: int
    gain: Estimate | None = None
    p: float | None = None
    p_holm: float | None = None


def judged(what: str, paper: str, ours: str, gain: Estimate) -> Claim:
    """The claim that a difference is positive."""
    return Claim(what, paper, ours, verdict(gain), gain.n, gain, p_value(gain))


def over_family(claims: Sequence[Claim]) -> list[Claim]:
    """The claims of one experiment, judged together: of many claims, some differences are seen by chance.

    p-values are adjusted by Holm's procedure. A verdict "yes" or "no" whose adjusted p-value is 0.05 or more becomes
    "no difference seen". Claims without a p-value stay as they are.
    """
    adjusted = iter(holm([claim.p for claim in claims if claim.p is not None]).tolist())
    return [claim if claim.p is None else _adjusted(claim, next(adjusted)) for claim in claims]


def _adjusted(claim: Claim, p: float) -> Claim:
    seen = claim.same in ("yes", "no") and p >= LEVEL
    return replace(claim, p_holm=p, same="no difference seen" if seen else claim.same)


def verdict(estimate: Estimate) -> Verdict:
    """Verdict on one difference that the paper gives as positive, by itself; one image says nothing."""
    if estimate.n < 2:
        return "cannot say"
    return "yes" if estimate.low > 0 else "no" if estimate.high < 0 else "no difference seen"


def with_interval(estimate: Estimate) -> str:
    """An estimate as text: "0.81 (0.79 … 0.83)"."""
    if estimate.n < 2:
        return f"{estimate.mean:.3g} (no interval)"
    return f"{estimate.mean:.3g} ({estimate.low:.3g} … {estimate.high:.3g})"


def compared(what: str, paper: str, conditions: Mapping[str, pd.DataFrame], seed: int = 0) -> Claim:
    """The claim that the first of two conditions, given by name, has the larger values, image by image."""
    first, second = conditions.values()
    gain = difference(first, second, seed)
    means = ", ".join(f"{name} {values(each).mean():.3g}" for name, each in conditions.items())
    return judged(what, paper, f"{means}; {' − '.join(conditions)}: {with_interval(gain)}", gain)


def compared_over_trainings(what: str, paper: str, conditions: Mapping[str, pd.DataFrame]) -> Claim:
    """The claim that the first of two conditions has the larger values; a test over trainings and images."""
    first, second = (by_training(each) for each in conditions.values())
    gain = bootstrap_over_networks(first - second)
    means = ", ".join(f"{name} {each.mean():.3g}" for name, each in zip(conditions, (first, second), strict=True))
    ours = f"{means}; {' − '.join(conditions)}: {with_interval(gain)}"
    return Claim(what, paper, ours, verdict(gain), gain.n, gain, p_value(gain, len(first)))


def differences(first: pd.DataFrame, second: pd.DataFrame, seed: int = 0) -> str:
    """First − second, image by image, layer by layer, as text: "conv1 0.2 (0.1 … 0.3), conv2 …"."""
    found = {
        layer: difference(each, rows(second, layer=layer), seed) for layer, each in first.groupby("layer", sort=False)
    }
    return ", ".join(f"{layer} {with_interval(estimate)}" for layer, estimate in found.items())
