"""Words that depend on the tables: counts, lists, and sentences that stand only while the tables say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spikesam.recordings.errors import InputError

NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

# Σ learning rate × weight decay over the paper's training, with batches of 32: 100,000 images an epoch, 90 epochs, a
# rate of 0.1 that is divided by ten after 50, 70 and 90 % of them, a decay of 5·10⁻⁴.
PAPER_SUM = 3125 * 0.1 * 5e-4 * (45 + 18 / 10 + 18 / 100 + 9 / 1000)


def numeral(number: int) -> str:
    """A small number as a word: three; from 13 on in digits."""
    return NUMERALS[number] if number < len(NUMERALS) else str(number)


def part(number: int, total: int, noun: str = "layer") -> str:
    """So many of a total: "every layer", "all but one of the layers", "two of three layers", "no layer"."""
    if number in (0, total):
        return f"{'every' if number else 'no'} {noun}"
    if total - number == 1 and total > 3:
        return f"all but one of the {noun}s"
    return f"{numeral(number)} of {numeral(total)} {noun}s"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence: "digits", "digits and photographs", "digits, photographs and VGG11"; or "none"."""
    *first, last = list(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def chosen(same: str, yes: str, no: str, unseen: str) -> str:
    """One of three wordings, by the verdict of a claim."""
    return {"yes": yes, "no": no}.get(same, unseen)


def given(condition: object, sentence: str) -> str:
    """A sentence that says what the tables say; where they do not, it is refused, and the page cannot be made."""
    if not condition:
        raise InputError(f"the tables no longer say this, write it anew: {sentence}")
    return sentence


def where(columns: Iterable[Mapping[str, Any]], experiment: str, pattern: str, same: str = "yes") -> list[str]:
    """The names of the networks of which every claim that holds a regular expression came out so."""
    return [column["name"] for column in columns if column["f"].all(experiment, pattern, same)]


def outcomes(rows: Iterable[Mapping[str, Any]], word: str = "") -> int:
    """How many rows tell of an outcome that begins with a word; of any, if none is given."""
    return sum(bool(row["outcome"]) and row["outcome"].startswith(word) for row in rows)


def can_differ(row: Mapping[str, Any]) -> bool:
    """True of a comparison of SAM with the spike count, in the timing tasks, that the tasks do not decide themselves.

    In the input every moment has a count of 0 or 1, every place of "manifold" fires three times and of "latency" once:
    there the count is a random order. "Bursts" and "regular" are the same spikes, with two questions: the shares of the
    one are those of the other, with the other sign, and in the input the generator says how large they are.
    """
    task, share = row["task"], row["measure"].startswith("share")
    if row["layer"] != "input":
        return not (task == "regular" and share)
    return share if task == "manifold" else task != "latency" and row["measure"] == "deletion of places"


def lowest(rows: Iterable[dict[str, Any]], column: str = "map") -> str:
    """The name of the row with the lowest mean."""
    return str(min(rows, key=_mean)[column])


def highest(rows: Iterable[dict[str, Any]], column: str = "map") -> str:
    """The name of the row with the highest mean."""
    return str(max(rows, key=_mean)[column])


def _mean(row: dict[str, Any]) -> float:
    return float(row["mean"])


WORDS = (numeral, part, listed, chosen, given, where, outcomes, can_differ, lowest, highest)
