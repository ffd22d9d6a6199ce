from __future__ import annotations

import csv
from pathlib import Path

from pipeline.measures.statistics import Estimate
from pipeline.paper.study.result import Claim, Result, direction, verdict, with_interval, write_result


def test_direction_needs_an_interval_that_excludes_zero() -> None:
    assert direction(0.1, 0.3) == "yes"
    assert direction(-0.3, -0.1) == "no"
    assert direction(-0.1, 0.1) == direction(0.0, 0.1) == "no difference seen"


def test_one_image_gives_neither_verdict_nor_interval() -> None:
    single = Estimate(1, 0.81234, -float("inf"), float("inf"))
    assert verdict(single) == "cannot say"
    assert with_interval(single) == "0.812 (no interval)"
    many = Estimate(50, 0.81234, 0.7899, 0.83)
    assert verdict(many) == "yes"
    assert with_interval(many) == "0.812 (0.79 … 0.83)"


def test_table_and_page_hold_what_was_found(tmp_path: Path) -> None:
    result = Result(
        title="Fig. 8: γ",
        table=[{"layer": "conv1", "gamma": 0.1, "mean": 1 / 3}, {"layer": "conv2", "gamma": 0.1, "mean": 2.0}],
        claims=[Claim("error at γ = 0", "highest", "0.81 (0.79–0.83)", "yes", 100)],
        notes=["Silent steps do not count."],
    )
    table, page = write_result("fig8", result, "`command`: 3 s.", tmp_path)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["conv1", "conv2"]
    assert float(rows[0]["mean"]) == 0.333333
    text = page.read_text()
    assert text.startswith("## Fig. 8: γ\n")
    assert "| error at γ = 0 | highest | 0.81 (0.79–0.83) | yes | 100 |\n" in text
    assert text.endswith("Silent steps do not count.\n\n`command`: 3 s.\n")
    assert "![" not in text


def test_page_shows_the_figures_but_not_those_of_further_images(tmp_path: Path) -> None:
    for name in ("fig8.png", "fig8_rate.png", "fig8_2.png", "fig88.png"):
        (tmp_path / name).write_bytes(b"a figure")
    result = Result("Fig. 8", [{"mean": 1.0}], [Claim("error", "highest", "0.8", "yes", 100)])
    _, page = write_result("fig8", result, "`command`: 3 s.", tmp_path)
    assert "| yes | 100 |\n\n![Fig. 8](fig8.png)\n\n![Fig. 8](fig8_rate.png)\n\n`command`" in page.read_text()
