"""The kernel of attention beside torch, from end to end."""

import json
from pathlib import Path

import pytest

from scripts import attention


@pytest.mark.long
def test_the_kernel_stands_beside_torch_with_equal_sums(tmp_path: Path) -> None:
    attention.main(["--repeats", "1", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "benchmarks.json").read_text())["rows"]["attention"]
    times = [row for row in rows if row["unit"] == "µs"]
    assert {row["way"] for row in times} == {"event", "torch, (q kᵀ) v", "torch, q (kᵀ v)"}
    assert all(row["median"] > 0 for row in rows)
