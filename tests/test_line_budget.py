"""scripts/line_budget.py in a small repository."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "line_budget.py"
FILES = {"core/a.py": 3, "core/deep/b.py": 2, "core/deep/more/c.py": 1, "tools/d.py": 4, "core/page.js": 9}


@pytest.mark.parametrize(
    ("budget", "said", "refused"),
    [
        ({"core": 6, "tools": 4}, ["6 of       6 lines  core", "4 of       4 lines  tools"], []),
        ({"core/deep": 3, "core/*.py tools": 7}, ["3 of       3 lines  core/deep", "7 of       7 lines  core"], []),
        ({"core": 5, "tools": 4}, ["6 of       5 lines  core"], ["error: core: 1 lines of Python too many"]),
        (
            {"core/*.py": 9, "tools": 4},
            ["3 of       0 lines  in no row"],
            ["files in no row: 3 lines of Python too many"],
        ),
    ],
    ids=["as many as allowed", "a folder's own files", "too many", "in no row"],
)
def test_lines_are_counted_and_held(
    budget: dict[str, int], said: list[str], refused: list[str], tmp_path: Path
) -> None:
    for name, lines in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n" * lines)
    (tmp_path / "link").symlink_to("core")  # as spikesam/ has them
    rows = "\n".join(f'"{row}" = {most}' for row, most in budget.items())
    (tmp_path / "pyproject.toml").write_text(f"[tool.line-budget]\nscripts = 100\n{rows}\n")
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    command = [sys.executable, tmp_path / "scripts" / SCRIPT.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == bool(refused), done.stderr
    for part in said:
        assert part in done.stdout
    for part in refused:
        assert part in done.stderr
    assert done.stderr.count("\n") == len(refused)
