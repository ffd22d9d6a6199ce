"""The table of what relevance takes in docs/performance.md is that of the committed run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.why import ALONE, BATCH, BATCHES, EXPLAINED, RATIO

DOCS = Path(__file__).parents[2] / "docs"
ROWS = {  # first words of a case -> first cell of its row in the table
    "snnTorch, three layers, T = 25": "loop of snnTorch, three layers, T = 25, 32×32",
    "SEW-ResNet-18, 32×32, T = 4": "SEW-ResNet-18, T = 4, 32×32",
    "SEW-ResNet-18, 64×64, T = 4": "64×64",
    "SEW-ResNet-18, 128×128, T = 4": "128×128",
}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of the table, of the rows of a run."""
    by_place = {(row["case"], row["way"], row["unit"]): row for row in rows}

    def median(case: str, way: str, unit: str) -> float:
        value: float = by_place[case, way, unit]["median"]
        return value

    def range_of(case: str) -> str:
        low, high = by_place[case, RATIO, "×"]["spread"]
        return f"({low:.2f}–{high:.2f})"

    lines = []
    for name, cell in ROWS.items():
        several, single = (f"{name}, {count} × {BATCH} images" for count in (BATCHES, 1))
        time, alone = (median(case, RATIO, "×") for case in (several, single))
        memory = median(several, RATIO, "× MB")
        by_image = [f"{median(several, way, 'CPU ms/image'):.0f}" for way in (ALONE, EXPLAINED)]
        units = ("", "") if lines else (" ms an image", " ms")
        lines.append(
            f"| {cell} | {by_image[0]}{units[0]} | {by_image[1]}{units[1]} | **{time:.2f}** "
            f"{range_of(several)} | {memory:.2f} | {alone:.2f} {range_of(single)} |"
        )
    return lines


def test_the_documented_table_is_that_of_the_committed_run() -> None:
    run = json.loads((DOCS / "performance" / "why.json").read_text(encoding="utf-8"))
    lines = (DOCS / "performance.md").read_text(encoding="utf-8").splitlines()
    expected = table(run["rows"]["why"])
    assert [line for line in lines if line in expected] == expected, "\n".join(expected)


def test_time_and_memory_are_within_what_is_promised() -> None:
    """At most twice the time, of several batches, and one and a half times the memory."""
    run = json.loads((DOCS / "performance" / "why.json").read_text(encoding="utf-8"))
    limited = [row for row in run["rows"]["why"] if row["at_most"]]
    assert len(limited) >= 2 * len(ROWS)
    assert [row["case"] for row in limited if not row["reached"]] == []
