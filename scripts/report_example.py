"""Make docs/report-example.html and docs/report.png anew: python scripts/report_example.py (needs Chromium).

The page shows the synthetic cluttered digits alone: nobody's photographs.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from pipeline import gradcam, run
from pipeline.page.write import report

DOCS = Path(__file__).resolve().parents[1] / "docs"
SAMPLES = "6"
SHOWN = {"sample": 1, "count": False, "cam": False, "pixel": {"layer": "conv3", "x": 0.65, "y": 0.35}}


def main() -> None:
    """Run, make the page, and take its picture."""
    page = DOCS / "report-example.html"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cluttered digits"
        run.main(["--backend", "event", "--samples", SAMPLES, "--figures", "0", "--no-report", "--out", str(out)])
        gradcam.main(["cluttered-digits", "--samples", SAMPLES, "--out", str(out / "gradcam.h5")])
        report(out, page, overwrite=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 1132}, device_scale_factor=1.5)
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-shown]", state="attached")
        tab.evaluate("(state) => report.change(state)", SHOWN)
        tab.wait_for_timeout(1000)
        picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
        browser.close()
    picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).save(
        DOCS / "report.png", optimize=True
    )


if __name__ == "__main__":
    main()
