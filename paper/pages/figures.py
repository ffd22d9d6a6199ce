"""Figures that need no run: drawn again from the tables of the experiments in docs/results."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich.console import Console

from paper import doses, fig6, fig9, timing
from paper.common.settings import load_paper_config
from paper.common.setup import Setup
from paper.measures.tables import rows
from paper.pages.fill import RESULTS, folders_of
from spikesam.figures import CurveOptions, draw_curves

SHORT = {"digits": "digits", "tiny-imagenet-10": "photographs", "tiny-imagenet-10-vgg11": "VGG11"}
DRAW = {
    "doses": (doses.draw,),
    "fig6": (fig6.draw_errors,),
    "fig9": (fig9.draw_accuracy, fig9.draw_shifts),
    "timing": (timing.draw,),
}


def draw_figures(docs: Path) -> Iterator[str]:
    """Draw them, each beside its table, and Fig. 6a of all data sets; yields what was drawn."""
    for path in folders_of(docs):
        config = load_paper_config(
            docs.parent / "configs" / "paper" / f"{path.name.replace('-', '_')}.toml"
        )
        setup = Setup(config, path, Console(file=io.StringIO()), path / "stages")
        for name, drawings in DRAW.items():
            if (path / f"{name}.csv").is_file():
                for draw in drawings:
                    draw(setup, table_of(path, name))
                yield f"{path.name}: {name}"
    draw_errors(docs / RESULTS)
    yield "fig6 of all"


def table_of(path: Path, name: str) -> pd.DataFrame:
    """A table of an experiment, with empty texts where its texts were."""
    table = pd.read_csv(path / f"{name}.csv")
    texts = table.select_dtypes(exclude="number").columns.drop("outcome", errors="ignore")
    return table.fillna(dict.fromkeys(texts, ""))


def draw_errors(results: Path) -> None:
    """A panel per data set, a colour per network; sums over steps beside single steps."""
    parts = []
    for name, panel in SHORT.items():
        found = rows(
            table_of(results / name, "fig6"), measure="localisation error", kernel="equations"
        )
        found = rows(found, against="Grad-CAM", floor=0.0, epsilon=0.001)
        for network in ("surrogate", "converted"):
            for steps, told in (("all", "best step"), ("sum of all", "sum over steps")):
                of_layers = rows(found, network=network, steps=steps)
                parts.append(
                    of_layers.assign(panel=panel, curve=f"{network}, {told}", x=["4", "6", "8"])
                )
    about = "against the ANN's Grad-CAM; mean over 100 images and 95 % interval; smaller is nearer"
    title = "Localisation error: surrogate-trained against converted"
    axes = ("layer, as the paper numbers them", "localisation error (nats)")
    points = pd.concat(parts)
    options = CurveOptions(limits=(0.0, 1.05 * points["high"].max()))
    draw_curves(results / "fig6.png", title, about, points, *axes, options)
