"""Results of an experiment: figures, three small tables that a page is made from (CSV), and every
image's values.

A claim is what the paper says beside what was found: a view of a measured table.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from paper.measures.inference import (
    bootstrap_mean,
    bootstrap_over_networks,
    holm,
    p_value,
    paired_p_value,
)
from paper.measures.tables import by_training, difference, paired, rows, values
from spikesam.commands import write_file
from spikesam.statistics import Estimate

LONGEST_NOTE = 10_000  # characters
VALUES = ".values.csv.xz"
MANY = 100_000
CLAIM = ("what", "paper", "ours", "same", "n", "p", "p_holm", "mean", "low", "high")
SMALL = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0}
]  # a third less, of text


@dataclass(frozen=True)
class Result:
    """Findings of one experiment; tables as in :mod:`paper.measures.tables`."""

    title: str
    table: pd.DataFrame  # a row per condition with n, mean, low, high
    claims: Sequence[Claim]  # at least one
    notes: Sequence[str] = ()  # sentences that a reader needs beside the numbers
    values: pd.DataFrame | None = (
        None  # a row per image and condition, from which intervals can be computed again
    )
    samples: str = ""  # what was measured on, where that is not the configuration's images
    networks: Mapping[str, str] | None = (
        None  # name -> SHA-256, where they are not the configuration's
    )
    beside: Mapping[str, Result] = field(
        default_factory=dict
    )  # name -> what the same measurements say of another figure


def write_result(name: str, result: Result, about: dict[str, str], directory: Path) -> None:
    """Write `NAME.csv`, what was measured, `NAME.claims.csv`, a row per claim, and
    `NAME.notes.csv`: kind, text.

    Beside them `NAME.values.csv.xz`, what was measured of every image, to 5 digits; of many values,
    to 4. `about` says how the numbers were made: kind of note -> text.
    """
    claims = [
        asdict(claim) | (claim.gain._asdict() if claim.gain else {}) | {"n": claim.n}
        for claim in result.claims
    ]
    notes = [("title", result.title), *(("note", note) for note in result.notes), *about.items()]
    for suffix, table in (
        ("", result.table.map(lambda value: _rounded(value, 5))),
        (".claims", pd.DataFrame(claims, columns=CLAIM).map(lambda value: _rounded(value, 3))),
        (".notes", pd.DataFrame(notes, columns=["kind", "text"])),
    ):
        write_file(directory / f"{name}{suffix}.csv", _csv(table))
    if result.values is not None:
        digits = 5 if len(result.values) <= MANY else 4
        values = _csv(result.values.map(lambda value: _rounded(value, digits)))
        write_file(directory / f"{name}{VALUES}", lzma.compress(values, filters=SMALL))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode("utf-8", "replace")


def _rounded(value: Any, digits: int) -> Any:
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


LEVEL = 0.05  # of wrongly claimed differences
FEWEST_TRAININGS = 3  # that a difference over trainings is tested with

Verdict = Literal["yes", "no", "no difference seen", "cannot say"]


@dataclass(frozen=True)
class Claim:
    """One thing the paper says, and what was found here."""

    what: str  # the quantity or direction
    paper: str  # its figure or direction in the paper
    ours: str  # what was measured here, with 95 % interval
    same: Verdict
    n: int  # images behind it
    gain: Estimate | None = None  # the difference that the verdict is about, if it is about one
    p: float | None = None  # of there being none, where the verdict is a test
    p_holm: float | None = (
        None  # p, adjusted for all the claims of the experiment, see :func:`over_family`
    )


def judged(what: str, paper: str, ours: str, gain: Estimate, p: float) -> Claim:
    """The claim that a difference is positive, and the p-value of there being none."""
    return Claim(what, paper, ours, verdict(gain), gain.n, gain, p)


def better(
    what: str, maps: Mapping[str, pd.DataFrame], seed: int = 0, *, rising: bool = False
) -> Claim:
    """The claim that the first of two maps, name -> values, has the smaller area, image by image,
    or the larger one.
    """
    own, other = maps.values()
    apart = paired(own, other) if rising else paired(other, own)
    gain = bootstrap_mean(apart, seed)
    means = ", ".join(f"{name} {values(each).mean():.3g}" for name, each in maps.items())
    return judged(
        what, "–", f"{means}; better by {with_interval(gain)}", gain, paired_p_value(apart)
    )


def over_family(claims: Sequence[Claim]) -> list[Claim]:
    """The claims of one experiment, judged together: of many claims, some differences are seen by
    chance.

    p-values are adjusted by Holm's procedure. A verdict "yes" or "no" whose adjusted p-value is
    0.05 or more becomes "no difference seen". Claims without a p-value stay as they are.
    """
    adjusted = iter(holm([claim.p for claim in claims if claim.p is not None]).tolist())
    return [claim if claim.p is None else _adjusted(claim, next(adjusted)) for claim in claims]


def _adjusted(claim: Claim, p: float) -> Claim:
    seen = claim.same in ("yes", "no") and p >= LEVEL
    return replace(claim, p_holm=p, same="no difference seen" if seen else claim.same)


def verdict(estimate: Estimate) -> Verdict:
    """Verdict on one difference that the paper gives as positive, by itself; one image says
    nothing.
    """
    if estimate.n < 2:
        return "cannot say"
    return "yes" if estimate.low > 0 else "no" if estimate.high < 0 else "no difference seen"


def with_interval(estimate: Estimate) -> str:
    """An estimate as text: "0.81 (0.79 … 0.83)"."""
    if estimate.n < 2:
        return f"{estimate.mean:.3g} (no interval)"
    return f"{estimate.mean:.3g} ({estimate.low:.3g} … {estimate.high:.3g})"


def compared(what: str, paper: str, conditions: Mapping[str, pd.DataFrame], seed: int = 0) -> Claim:
    """The claim that the first of two conditions, given by name, has the larger values, image by
    image.
    """
    first, second = conditions.values()
    apart = paired(first, second)
    gain = bootstrap_mean(apart, seed)
    means = ", ".join(f"{name} {values(each).mean():.3g}" for name, each in conditions.items())
    ours = f"{means}; {' − '.join(conditions)}: {with_interval(gain)}"
    return judged(what, paper, ours, gain, paired_p_value(apart))


def compared_over_trainings(what: str, paper: str, conditions: Mapping[str, pd.DataFrame]) -> Claim:
    """The claim that the first of two conditions has the larger values; a test over trainings and
    images, of which there is none with fewer than three trainings.
    """
    first, second = (by_training(each) for each in conditions.values())
    gain = bootstrap_over_networks(first - second)
    means = ", ".join(
        f"{name} {each.mean():.3g}" for name, each in zip(conditions, (first, second), strict=True)
    )
    ours = f"{means}; {' − '.join(conditions)}: {with_interval(gain)}"
    if len(first) < FEWEST_TRAININGS:
        return Claim(what, paper, ours, "cannot say", gain.n, gain)
    return judged(what, paper, ours, gain, p_value(gain, len(first)))


def differences(first: pd.DataFrame, second: pd.DataFrame, seed: int = 0) -> str:
    """First − second, image by image, layer by layer, as text: "conv1 0.2 (0.1 … 0.3), conv2 …"."""
    found = {
        layer: difference(each, rows(second, layer=layer), seed)
        for layer, each in first.groupby("layer", sort=False)
    }
    return ", ".join(f"{layer} {with_interval(estimate)}" for layer, estimate in found.items())
