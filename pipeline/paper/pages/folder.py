"""The tables of a folder of results, as the experiments on one data set left them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.toml import read_toml
from recordings.errors import InputError

from ..experiments import EXPERIMENTS

CLAIMS, NOTES = ".claims", ".notes"
NUMBERS = ("n", "mean", "low", "high", "p", "p_holm")


class Rows:
    """Rows of a table; of exactly one row, `mean`, `low`, `high`, `n`, `same` and the other columns are attributes.

    Parameters
    ----------
    where : what they are, for messages
    table : the rows
    """

    def __init__(self, where: str, table: pd.DataFrame) -> None:
        self.where = where
        self.table = table

    def __call__(self, **wanted: Any) -> Rows:
        """Those that have these values in these columns; a tuple stands for any of its values.

        Raises
        ------
        InputError : if there is no such column, or no such row
        """
        chosen = self.table
        for column, value in wanted.items():
            if column not in chosen:
                raise InputError(f"{self.where}: no column {column!r}, expected one of {', '.join(chosen)}")
            values = value if isinstance(value, tuple) else (value,)
            chosen = chosen[[any(_equal(cell, one) for one in values) for cell in chosen[column]]]
        where = f"{self.where} {', '.join(f'{column} = {value}' for column, value in wanted.items())}".strip()
        if chosen.empty:
            raise InputError(f"{where}: no such row")
        return Rows(where, chosen)

    def __iter__(self) -> Iterator[Rows]:
        return (Rows(self.where, self.table.iloc[[row]]) for row in range(len(self.table)))

    def __getattr__(self, column: str) -> Any:
        if column not in self.table:
            raise AttributeError(f"{self.where}: no column {column!r}")
        if len(self.table) != 1:
            raise InputError(f"{self.where}: {len(self.table)} rows, expected one")
        return self.table[column].iloc[0]

    def minus(self, other: Rows, by: str = "layer") -> Rows:
        """Differences of means, row by row of one value in the column `by`."""
        pairs = self.table.merge(other.table, on=by, suffixes=("", " of the other"), validate="one_to_one")
        if len(pairs) != len(self.table):
            raise InputError(f"{self.where} minus {other.where}: the rows are not of the same {by}")
        where = f"{self.where} minus {other.where}"
        return Rows(where, pairs.assign(mean=pairs["mean"] - pairs["mean of the other"])[[by, "mean"]])

    @property
    def lowest(self) -> Rows:
        """The row of the smallest mean."""
        return Rows(self.where, self.table.loc[[self.table["mean"].idxmin()]])

    @property
    def least(self) -> float:
        """The smallest mean."""
        return float(self.table["mean"].min())

    @property
    def most(self) -> float:
        """The largest mean."""
        return float(self.table["mean"].max())


class Folder:
    """Results of one data set.

    Parameters
    ----------
    path : holds `NAME.csv`, `NAME.claims.csv` and `NAME.notes.csv` of each experiment, figures, and `config.toml`
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def experiments(self) -> list[str]:
        """Names of the experiments that were run, in the order of the paper."""
        found = sorted(path.name.removesuffix(f"{CLAIMS}.csv") for path in self.path.glob(f"*{CLAIMS}.csv"))
        return [name for name in EXPERIMENTS if name in found] + [name for name in found if name not in EXPERIMENTS]

    @cached_property
    def config(self) -> Any:
        """The configuration, as nested dictionaries."""
        return read_toml(self.path / "config.toml")

    def __call__(self, name: str, **wanted: Any) -> Rows:
        """What an experiment measured: the rows of its table that have these values in these columns."""
        return Rows(f"{self.path.name}/{name}.csv", _read(self.path / f"{name}.csv"))(**wanted)

    def has(self, name: str, **wanted: Any) -> bool:
        """Whether there are such rows."""
        try:
            self(name, **wanted)
        except InputError:
            return False
        return True

    def claims(self, name: str, pattern: str = "") -> Rows:
        """The claims of an experiment whose text holds a regular expression."""
        path = self.path / f"{name}{CLAIMS}.csv"
        table, where = _read(path), f"{self.path.name}/{path.name} {pattern!r}"
        return Rows(where, table[[re.search(pattern, what) is not None for what in table["what"]]])()

    def notes(self, name: str, kind: str = "note") -> list[str]:
        """The texts of one kind: "title", "note", "command", "seconds", …"""
        table = _read(self.path / f"{name}{NOTES}.csv")
        return [str(text) for text in table["text"][table["kind"] == kind]]

    def verdict(self, name: str, pattern: str = "") -> str:
        """Whether the claims that hold a regular expression came out as the paper says: word, and counts if several."""
        if name not in self.experiments:
            return "not run"
        same = Counter(self.claims(name, pattern).table["same"])
        yes, no, total = same["yes"], same["no"], same.total()
        word = "holds" if yes == total else "depends" if yes else "does not hold" if no else "no difference"
        if total == 1:
            return f"**{word}**"
        parts = {"yes": yes, "opposite": no, "no difference": total - yes - no}
        return f"**{word}**: {', '.join(f'{count} {part}' for part, count in parts.items() if count)}"


@cache
def _read(path: Path) -> pd.DataFrame:
    """A table whose columns are texts, but for those that are always numbers.

    Raises
    ------
    InputError : if there is none
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); run that experiment first") from None
    numbers = {column: pd.to_numeric(table[column], errors="coerce") for column in NUMBERS if column in table}
    return table.assign(**numbers)


def _equal(cell: Any, wanted: Any) -> bool:
    """Whether a text says what is wanted, which may be a number."""
    if isinstance(wanted, str) or not isinstance(cell, str):
        return bool(cell == wanted)
    return cell != "" and float(cell) == wanted
