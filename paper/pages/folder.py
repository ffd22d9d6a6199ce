"""The tables of a folder of results, as the experiments on one data set left them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from paper.common.result import VALUES
from spikesam import InputError
from spikesam.settings import read_toml

CLAIMS, NOTES = ".claims", ".notes"
NUMBERS = ("n", "mean", "low", "high", "p", "p_holm")


def in_order(name: str) -> tuple[bool, int, str]:
    """Sort key of names: figures by their number, then the others by name."""
    figure = re.fullmatch(r"fig(\d+)", name)
    return figure is None, int(figure[1]) if figure else 0, name


class Rows:
    """Rows of a table, column -> value, called `where` in messages; of exactly one row, columns are
    attributes.
    """

    def __init__(self, where: str, rows: Sequence[dict[str, Any]]) -> None:
        self.where = where
        self.rows = rows

    def __call__(self, **wanted: Any) -> Rows:
        """Those that have these values in these columns, one at least; a tuple stands for any of
        its values.
        """
        chosen = self.rows
        for column, value in wanted.items():
            if chosen and column not in chosen[0]:
                raise InputError(
                    f"{self.where}: no column {column!r}, expected one of {', '.join(chosen[0])}"
                )
            values = value if isinstance(value, tuple) else (value,)
            chosen = [row for row in chosen if any(_equal(row[column], one) for one in values)]
        where = (
            f"{self.where} {', '.join(f'{column} = {value}' for column, value in wanted.items())}"
        ).strip()
        if not chosen:
            raise InputError(f"{where}: no such row")
        return Rows(where, chosen)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getattr__(self, column: str) -> Any:
        if column not in self.rows[0]:
            raise AttributeError(f"{self.where}: no column {column!r}")
        if len(self.rows) != 1:
            raise InputError(f"{self.where}: {len(self.rows)} rows, expected one")
        return self.rows[0][column]


class Folder:
    """Results of one data set: `NAME.csv`, `.claims.csv` and `.notes.csv` of experiments, figures,
    `config.toml`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def experiments(self) -> list[str]:
        """Names of the experiments that were run."""
        found = [
            path.name.removesuffix(f"{CLAIMS}.csv") for path in self.path.glob(f"*{CLAIMS}.csv")
        ]
        return sorted(found, key=in_order)

    @cached_property
    def config(self) -> Any:
        """The configuration, as nested dictionaries."""
        return read_toml(self.path / "config.toml")

    def __call__(self, name: str, **wanted: Any) -> Rows:
        """Measurements of an experiment: the rows of its table that have these values in these
        columns.
        """
        return _measured(self.path / f"{name}.csv", tuple(wanted.items()))

    def has(self, name: str, **wanted: Any) -> bool:
        """True if there are such rows."""
        try:
            self(name, **wanted)
        except InputError:
            return False
        return True

    def claims(self, name: str, pattern: str = "") -> Rows:
        """The claims of an experiment whose text holds a regular expression."""
        path = self.path / f"{name}{CLAIMS}.csv"
        found = [claim for claim in _read(path) if re.search(pattern, claim["what"])]
        return Rows(f"{self.path.name}/{path.name} {pattern!r}", found)()

    def notes(self, name: str, kind: str = "note") -> list[str]:
        """The texts of one kind: "title", "note", "command", "seconds", …"""
        return [
            note["text"] for note in _read(self.path / f"{name}{NOTES}.csv") if note["kind"] == kind
        ]

    def figures(self, name: str) -> list[str]:
        """The file names of an experiment's figures; those of further images are not among them."""
        return [
            path.name
            for pattern in ("", "_[a-z]*")
            for path in sorted(self.path.glob(f"{name}{pattern}.png"))
        ]

    def has_values(self, name: str) -> bool:
        """True if the values of every image are kept."""
        return (self.path / f"{name}{VALUES}").is_file()

    def verdict(self, name: str, pattern: str = "") -> str:
        """Verdict on the claims that hold a regular expression: word, and counts if several."""
        if name not in self.experiments:
            return "not run"
        return tally([claim["same"] for claim in self.claims(name, pattern)])

    def count(self, name: str, pattern: str = "", same: str = "yes") -> int:
        """How many claims that hold a regular expression came out so; 0 where the experiment was
        not run.
        """
        if name not in self.experiments:
            return 0
        return sum(claim["same"] == same for claim in self.claims(name, pattern))


def tally(same: Sequence[str]) -> str:
    """The verdict on several comparisons: a word, and their counts if there are several."""
    counts = Counter(same)
    yes, no, unsaid, total = counts["yes"], counts["no"], counts["cannot say"], len(same)
    word = (
        "cannot say"
        if unsaid == total
        else "holds"
        if yes == total - unsaid
        else "depends"
        if yes
        else ""
    )
    word = word or ("does not hold" if no else "no difference")
    if total == 1:
        return f"**{word}**"
    parts = {
        "yes": yes,
        "opposite": no,
        "no difference": total - yes - no - unsaid,
        "cannot say": unsaid,
    }
    return f"**{word}**: {', '.join(f'{count} {part}' for part, count in parts.items() if count)}"


@cache  # pages ask for some rows many times
def _measured(path: Path, wanted: tuple[tuple[str, Any], ...]) -> Rows:
    return Rows(f"{path.parent.name}/{path.name}", _read(path))(**dict(wanted))


@cache
def _read(path: Path) -> list[dict[str, Any]]:
    """The rows of a table whose columns are texts, but for those that are always numbers."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a table ({error}); run that experiment first"
        ) from None
    numbers = {
        column: pd.to_numeric(table[column], errors="coerce")
        for column in NUMBERS
        if column in table
    }
    rows: list[dict[str, Any]] = table.assign(**numbers).to_dict("records")
    return rows


def _equal(cell: Any, wanted: Any) -> bool:
    """True if a text says what is wanted, which may be a number."""
    if isinstance(wanted, str) or not isinstance(cell, str):
        return bool(cell == wanted)
    return cell != "" and float(cell) == wanted
