"""Print how many lines of Python each row of tool.line-budget in pyproject.toml has, and fail where a row has too many.

    python scripts/line_budget.py

A row names folders, or "FOLDER/*.py" for the files of a folder itself. What lies in no row is refused. Whoever raises a
row says why in the commit.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePath

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]


def lines_by_row(files: dict[str, int], rows: list[str]) -> dict[str, int]:
    """Sum the lines of files, path -> lines, into the rows that hold them; "" is the row of what lies in none."""
    sums = dict.fromkeys(["", *rows], 0)
    for name, lines in files.items():
        folders = {str(parent) for parent in PurePath(name).parents} | {f"{PurePath(name).parent}/*.py"}
        sums[next((row for row in rows if folders & set(row.split())), "")] += lines
    return sums


def main() -> int:
    """Print the table; 1 where a row has more lines than it may have."""
    budget = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["line-budget"]
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*.py"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = {name: (ROOT / name).read_bytes().count(b"\n") for name in names if (ROOT / name).is_file()}
    sums, code = lines_by_row(files, list(budget)), 0
    for row, most in ({"": 0} | budget).items():
        if row or sums[row]:
            print(f"{sums[row]:7,} of {most:7,} lines  {row or 'in no row of tool.line-budget'}")
        if sums[row] > most:
            print(f"error: {row or 'files in no row'}: {sums[row] - most} lines of Python too many", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
