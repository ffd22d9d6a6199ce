"""What an experiment leaves, and the page that is made from it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from paper.common.claims import Claim, judged, over_family
from paper.common.result import Result, write_result
from paper.pages.fill import experiments_page
from spikesam.pipeline.measures.statistics import Estimate

ABOUT = {"images": "digits/val", "seed": "0", "command": "command", "seconds": "3", "seconds before": "80"}


def left(path: Path) -> str:
    """Tables of two experiments, and their page."""
    claims = [
        judged("error at γ = 0", "highest", "0.81 (0.79 … 0.83)", Estimate(100, 1 / 3, 0.2, 0.4)),
        Claim("same | bits", "–", "<b>", "yes", 4),
    ]
    table = pd.DataFrame({"layer": ["conv1", "conv2"], "gamma": 0.1, "n": 3, "mean": [1 / 3, 2.0]})
    result = Result("Fig. 8: γ", table, over_family(claims), ["Silent steps do not count."])
    write_result("fig8", result, ABOUT, path)
    write_result("fig2", Result("Fig. 2", table, claims[1:]), ABOUT, path)
    return experiments_page(path)


def test_tables_hold_what_was_found(tmp_path: Path) -> None:
    left(tmp_path)
    assert (tmp_path / "fig8.csv").read_text() == "layer,gamma,n,mean\nconv1,0.1,3,0.33333\nconv2,0.1,3,2.0\n"
    first, second, third = (tmp_path / "fig8.claims.csv").read_text(encoding="utf-8").splitlines()
    assert first == "what,paper,ours,same,n,p,p_holm,mean,low,high"
    # The interval reaches 0.1333 towards 0, which is 1.96 standard errors: 0.3333 is 4.9 of them.
    assert second == "error at γ = 0,highest,0.81 (0.79 … 0.83),yes,100,9.59e-07,9.59e-07,0.333,0.2,0.4"
    assert third == "same | bits,–,<b>,yes,4,,,,,"


def test_a_page_is_made_from_the_tables(tmp_path: Path) -> None:
    for name in ("fig8.png", "fig8_rate.png", "fig8_2.png", "fig88.png"):
        (tmp_path / name).write_bytes(b"a figure")
    page = left(tmp_path)
    assert page.startswith("# What the experiments found: digits/val\n")
    assert page.index("## Fig. 2\n") < page.index("## Fig. 8: γ\n")
    assert "| error at γ = 0 | highest | 0.81 (0.79 … 0.83) | yes | &lt; 0.001 | 100 |\n" in page
    assert "| same \\| bits | – | &lt;b> | yes |  | 4 |\n" in page
    figures = "![Fig. 8: γ](fig8.png)\n\n![Fig. 8: γ](fig8_rate.png)\n\nSilent steps do not count.\n"
    assert figures in page and "fig8_2" not in page and "fig88" not in page
    assert page.endswith(
        "`command`, seed 0: 3 s, and before that 80 s for networks, recordings and maps that it found made.\n"
    )
