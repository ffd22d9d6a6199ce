"""What an experiment leaves: figures, three small tables that a page is made from (CSV), and every image's values."""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from paper.common.claims import Claim
from spikesam.recordings.disk import write_file

LONGEST_NOTE = 10_000  # characters
VALUES = ".values.csv.xz"
MANY = 100_000
SMALL = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0}]  # a third less, of text


@dataclass(frozen=True)
class Result:
    """What one experiment found.

    Parameters
    ----------
    title : of the experiment
    table : a row per condition with n, mean, low, high; see :mod:`paper.measures.tables`
    claims : at least one
    notes : sentences that a reader needs beside the numbers
    values : a row per image and condition, from which intervals can be computed again; see :mod:`paper.measures.tables`
    samples : what was measured on, where that is not the configuration's images
    networks : SHA-256 of those that were measured, by name, where they are not the configuration's; none of those that
        the experiment trained
    """

    title: str
    table: pd.DataFrame
    claims: Sequence[Claim]
    notes: Sequence[str] = ()
    values: pd.DataFrame | None = None
    samples: str = ""
    networks: Mapping[str, str] | None = None


def write_result(name: str, result: Result, about: dict[str, str], directory: Path) -> None:
    """Write `NAME.csv`, what was measured, `NAME.claims.csv`, a row per claim, and `NAME.notes.csv`: kind, text.

    Beside them `NAME.values.csv.xz`, what was measured of every image, to 5 digits; of many values, to 4.

    Parameters
    ----------
    about : kind of note = text: how the numbers were made, such as command and seconds
    """
    claims = [{**asdict(claim), **_parts(claim)} for claim in result.claims]
    notes = [("title", result.title), *(("note", note) for note in result.notes), *about.items()]
    for suffix, table in (
        ("", result.table.map(lambda value: _rounded(value, 5))),
        (".claims", pd.DataFrame(claims).drop(columns="gain").map(lambda value: _rounded(value, 3))),
        (".notes", pd.DataFrame(notes, columns=["kind", "text"])),
    ):
        write_file(directory / f"{name}{suffix}.csv", _csv(table))
    if result.values is not None:
        digits = 5 if len(result.values) <= MANY else 4
        values = _csv(result.values.map(lambda value: _rounded(value, digits)))
        write_file(directory / f"{name}{VALUES}", lzma.compress(values, filters=SMALL))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode("utf-8", "replace")


def _parts(claim: Claim) -> dict[str, float | None]:
    gain = claim.gain
    return {part: None if gain is None else getattr(gain, part) for part in ("mean", "low", "high")}


def _rounded(value: Any, digits: int) -> Any:
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
