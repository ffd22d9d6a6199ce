"""The table of results: a row per subject, a column per outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from .outcomes import Outcome, Result


def table(results: Iterable[Result], subjects: Sequence[str]) -> Table:
    """Outcomes, the largest memory and the longest time of every subject."""
    results = list(results)
    made = Table(title="trials by outcome; the columns from wrong on must be 0", title_justify="left")
    for column in ("tried", "n", *(outcome.value for outcome in Outcome), "most memory", "slowest"):
        made.add_column(column, justify="left" if column == "tried" else "right")
    for name in (*subjects, "all"):
        mine = [result for result in results if name in (result.subject, "all")]
        if not mine:
            continue
        counts = Counter(result.outcome for result in mine)
        cells = [
            f"[bold red]{counts[each]}[/]" if each.failed and counts[each] else str(counts[each]) for each in Outcome
        ]
        memory, seconds = max(result.memory for result in mine), max(result.seconds for result in mine)
        if name == "all":
            made.add_section()
        made.add_row(name, f"{len(mine):,}", *cells, f"{memory / 1e6:,.0f} MB", f"{seconds:.1f} s")
    return made


def markdown(results: Iterable[Result], subjects: Sequence[str]) -> str:
    """The same table for docs/trust.md."""
    made = table(results, subjects)
    plain = Console(width=200, no_color=True)
    rows = [[plain.render_str(str(cell)).plain for cell in column.cells] for column in made.columns]
    lines = ["| " + " | ".join(str(column.header) for column in made.columns) + " |", "| --- " * len(rows) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in zip(*rows, strict=True)]
    return "\n".join(lines) + "\n"


def failures(results: Iterable[Result], most: int = 20) -> list[str]:
    """A line for each failure, the same message once."""
    seen: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        if result.outcome.failed:
            seen.setdefault((result.subject, result.outcome.value, result.message[:60]), []).append(result)
    lines = [
        f"{kind} {subject} × {len(found)}, first trial {found[0].number} ({found[0].case[:120]}): "
        f"{found[0].message[:200]}"
        for (subject, kind, _), found in sorted(seen.items(), key=lambda item: -len(item[1]))
    ]
    return lines[:most] + ([f"… and {len(lines) - most} more kinds"] if len(lines) > most else [])
