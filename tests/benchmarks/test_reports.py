"""Texts for the issue trackers of libraries: their code gives what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPORTS = Path(__file__).parents[2] / "docs" / "agreement" / "reports"
PARTS = ("**Versions**: ", "```python\n", "**Expected**: ", "**Got**: ")


@pytest.mark.parametrize("path", sorted(REPORTS.glob("*.md")), ids=lambda path: path.stem)
def test_a_report_has_all_parts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [part for part in PARTS if part not in text] == []


@pytest.mark.parametrize(
    "name", ["norse-cubalif-v-leak", "norse-unknown-nodes", "norse-v-reset", "snntorch-v-reset"]
)
def test_the_code_of_a_report_gives_what_it_says(name: str) -> None:
    pytest.importorskip(name.partition("-")[0])
    text = (REPORTS / f"{name}.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (output,) = re.findall(r"\*\*Got\*\*: `(.*?)`", text)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == output
