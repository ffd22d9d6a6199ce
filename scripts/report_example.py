"""Make the examples of a page in docs/ anew: python scripts/report_example.py (needs Chromium).

report-example.html, report.png and what_if.gif show the synthetic cluttered digits, own_network.png
the page at which the tutorial of one's own snnTorch network ends: nobody's photographs.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from spikesam.pipeline import explain, run
from spikesam.pipeline.page.write import report

DOCS = Path(__file__).resolve().parents[1] / "docs"
SAMPLES = "6"
FILM, COLOURS, FRAME = (800, 500), 64, 900  # pixels; of each frame; milliseconds


def main() -> None:
    """Run, make the pages, and take their pictures."""
    example()
    own_network()


def example() -> None:
    """Run the embedded default, and take the picture of its page, and a film of a 9 that is
    silenced there.
    """
    page = DOCS / "report-example.html"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cluttered digits"
        run.main(
            [
                "--backend",
                "event",
                "--samples",
                SAMPLES,
                "--figures",
                "0",
                "--no-report",
                "--out",
                str(out),
            ]
        )
        explain.main(["cluttered-digits", "--samples", SAMPLES, "--out", str(out / "gradcam.h5")])
        report(out, page, overwrite=True)
    shown = {"sample": 1, "pixel": {"run": 0, "layer": "conv3", "x": 0.65, "y": 0.35}}
    take_picture(page, shown, DOCS / "report.png")
    rows, columns = range(6, 15), range(1, 7)  # of conv2's 20 by 20 places, where the digit is
    states: list[dict[str, Any]] = [{"sample": 2}]
    for last in (*rows[1::2], rows[-1]):
        cells = [20 * row + column for row in range(rows[0], last + 1) for column in columns]
        states.append(
            {"silenced": {"layer": "conv2", "cells": cells, "channels": [], "before": None}}
        )
    take_film(page, states, DOCS / "what_if.gif")


def own_network() -> None:
    """Record the network of the tutorial, and take the picture of its page."""
    tutorial = (
        (DOCS / "tutorials" / "snntorch.md")
        .read_text(encoding="utf-8")
        .partition("## Import it")[0]
    )
    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for cell in re.findall(r"```\{code-cell\} ipython3\n(.*?)```", tutorial, re.DOTALL):
            if "%pip" not in cell:
                exec(cell, names)
        page = report("runs/mine")
        shown = {"sample": 2, "pixel": {"run": 0, "layer": "leaky_2", "x": 0.5, "y": 0.5}}
        take_picture(page, shown, DOCS / "own_network.png")
        take_film(page, walk(), DOCS / "own_network.gif")
        os.chdir(DOCS)


def walk() -> list[dict[str, Any]]:
    """A visitor's actions on a page: other samples, single steps, another γ, a place that is
    clicked.
    """
    states: list[dict[str, Any]] = [{"sample": sample} for sample in range(4)]
    states += [{"view": "step", "step": step} for step in range(2, 10, 2)] + [{"view": "sum"}]
    states += [{"gamma": gamma} for gamma in (0.0, 1.0, 2.0, 0.5)]
    return states + [
        {"pixel": {"run": 0, "layer": "leaky_2", "x": x, "y": 0.5}} for x in (0.3, 0.4, 0.5, 0.6)
    ]


def take_film(page: Path, states: list[dict[str, Any]], target: Path) -> None:
    """Film a page after each of some changes of its state."""
    first, *others = [picture.resize(FILM) for picture in _screens(page, states, scale=1)]
    first = first.quantize(COLOURS)
    frames = [
        picture.quantize(COLOURS, palette=first, dither=Image.Dither.NONE) for picture in others
    ]
    first.save(target, save_all=True, append_images=frames, duration=FRAME, loop=0, optimize=True)


def take_picture(page: Path, shown: dict[str, Any], target: Path) -> None:
    """Photograph a page in a state, with 256 colours."""
    [picture] = _screens(page, [shown], scale=1.5)
    picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).save(
        target, optimize=True
    )


def _screens(page: Path, states: list[dict[str, Any]], scale: float) -> Iterator[Image.Image]:
    """A page after each of some changes of its state."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 800}, device_scale_factor=scale)
        tab.goto(page.absolute().as_uri())
        tab.wait_for_selector("html[data-shown]", state="attached")
        for state in states:
            tab.evaluate("(state) => report.change(state)", state)
            tab.wait_for_timeout(1000)
            yield Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
        browser.close()


if __name__ == "__main__":
    main()
