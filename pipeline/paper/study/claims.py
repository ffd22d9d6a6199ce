"""What the paper says beside what was found: a claim is a view of a measured table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pipeline.measures.statistics import Estimate
from pipeline.measures.tables import difference, rows, values

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
    """

    what: str
    paper: str
    ours: str
    same: Verdict
    n: int


def direction(low: float, high: float) -> Verdict:
    """Verdict on a difference whose sign the paper gives as positive, from its 95 % interval."""
    return "yes" if low > 0 else "no" if high < 0 else "no difference seen"


def verdict(estimate: Estimate) -> Verdict:
    """Verdict on an estimated difference that the paper gives as positive; one image says nothing."""
    return direction(estimate.low, estimate.high) if estimate.n > 1 else "cannot say"


def with_interval(estimate: Estimate) -> str:
    """An estimate as text: "0.81 (0.79 … 0.83)"."""
    if estimate.n < 2:
        return f"{estimate.mean:.3g} (no interval)"
    return f"{estimate.mean:.3g} ({estimate.low:.3g} … {estimate.high:.3g})"


def compared(what: str, paper: str, conditions: Mapping[str, pd.DataFrame], seed: int = 0) -> Claim:
    """The claim that the first of two conditions has the larger values, image by image.

    Parameters
    ----------
    what, paper : of the claim
    conditions : two names and their rows, see :func:`pipeline.measures.tables.difference`
    seed : ≥ 0, of the bootstrap
    """
    first, second = conditions.values()
    gain = difference(first, second, seed)
    means = ", ".join(f"{name} {values(each).mean():.3g}" for name, each in conditions.items())
    return Claim(what, paper, f"{means}; {' − '.join(conditions)}: {with_interval(gain)}", verdict(gain), gain.n)


def differences(first: pd.DataFrame, second: pd.DataFrame, seed: int = 0) -> str:
    """First − second, image by image, layer by layer, as text: "conv1 0.2 (0.1 … 0.3), conv2 …"."""
    found = {
        layer: difference(each, rows(second, layer=layer), seed) for layer, each in first.groupby("layer", sort=False)
    }
    return ", ".join(f"{layer} {with_interval(estimate)}" for layer, estimate in found.items())
