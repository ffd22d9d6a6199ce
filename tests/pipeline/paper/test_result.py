from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.paper.study.claims import Claim
from pipeline.paper.study.result import Result, write_result


def test_table_and_page_hold_what_was_found(tmp_path: Path) -> None:
    result = Result(
        title="Fig. 8: γ",
        table=pd.DataFrame({"layer": ["conv1", "conv2"], "gamma": 0.1, "n": 3, "mean": [1 / 3, 2.0]}),
        claims=[Claim("error at γ = 0", "highest", "0.81 (0.79–0.83)", "yes", 100)],
        notes=["Silent steps do not count."],
    )
    table, page = write_result("fig8", result, "`command`: 3 s.", tmp_path)
    assert table.read_text() == "layer,gamma,n,mean\nconv1,0.1,3,0.333333\nconv2,0.1,3,2.0\n"
    text = page.read_text()
    assert text.startswith("## Fig. 8: γ\n")
    assert "| error at γ = 0 | highest | 0.81 (0.79–0.83) | yes | 100 |\n" in text
    assert text.endswith("Silent steps do not count.\n\n`command`: 3 s.\n")
    assert "![" not in text


def test_page_shows_the_figures_but_not_those_of_further_images(tmp_path: Path) -> None:
    for name in ("fig8.png", "fig8_rate.png", "fig8_2.png", "fig88.png"):
        (tmp_path / name).write_bytes(b"a figure")
    result = Result("Fig. 8", pd.DataFrame({"mean": [1.0]}), [Claim("error", "highest", "0.8", "yes", 100)])
    _, page = write_result("fig8", result, "`command`: 3 s.", tmp_path)
    assert "| yes | 100 |\n\n![Fig. 8](fig8.png)\n\n![Fig. 8](fig8_rate.png)\n\n`command`" in page.read_text()
