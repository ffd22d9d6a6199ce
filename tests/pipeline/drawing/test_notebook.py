"""What notebooks show: reports and tables as text that is data, and pictures that can be opened."""

import io
import re
from base64 import b64decode
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import spikesam
from spikesam.pipeline.drawing.notebook import Shown, html
from spikesam.pipeline.networks.checkpoint import load
from tests.pipeline.small_networks import small_checkpoint

HOSTILE = "<script>alert(1)</script>"


def pictures(shown: str) -> list[Any]:
    """The pictures in what a notebook shows, read whole."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', shown)
    return [np.asarray(Image.open(io.BytesIO(b64decode(each)))) for each in found]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("notebook")
    checkpoint = load(small_checkpoint(folder / "c.safetensors"))
    network = checkpoint.network
    spikes = np.random.default_rng(0).random((8, 2, 6, 16, 24)) < 0.5
    raster = spikesam.simulate(network, spikes, backend="torch", out=folder / "run")
    real = spikesam.simulate(network, spikes, backend="torch", precision="float32")
    return {
        "raster": raster,
        "maps": spikesam.explain(raster),
        "network": network,
        "checkpoint": checkpoint,
        "energy": spikesam.energy(raster, network),
        "edit": spikesam.edit(raster, network, "conv1", all=True),
        "diff": spikesam.diff(raster, real),
        "page": spikesam.report(folder / "run"),
    }


@pytest.mark.parametrize(
    ("name", "said", "drawn"),
    [
        ("raster", "conv2", 1),
        ("maps", "sam.h5: 2 samples", 1),
        ("network", "readout", 1),
        ("checkpoint", "classes: ", 1),
        ("energy", "SynOps are additions at synapses", 1),
        ("edit", "answers changed", 0),
        ("diff", "bits differ", 1),
    ],
)
def test_objects_show_what_print_says_and_a_picture(
    shown: dict[str, Any], name: str, said: str, drawn: int
) -> None:
    found = shown[name]._repr_html_()
    assert said in unescape(found)
    assert [each.std() > 1 for each in pictures(found)] == [True] * drawn
    if isinstance(shown[name], Shown):
        words = re.sub(r"<[^>]*>", " ", re.sub("<style.*?</style>", "", found))
        assert set(str(shown[name]).split()) <= set(unescape(words).split())


def test_figures_are_pictures(shown: dict[str, Any]) -> None:
    for figure in (
        shown["maps"].plot(),
        shown["raster"].plot(),
        spikesam.draw_network(shown["network"]),
    ):
        assert np.asarray(Image.open(io.BytesIO(figure._repr_png_()))).std() > 1


def test_a_page_is_shown_in_a_frame_that_reaches_nothing(
    shown: dict[str, Any], tmp_path: Path
) -> None:
    page = shown["page"]
    assert isinstance(page, Path)
    (sandbox, source) = re.findall(
        r'<iframe sandbox="([^"]*)".*? srcdoc="([^"]*)"', page._repr_html_(), re.DOTALL
    )[0]
    assert (sandbox, unescape(source)) == ("allow-scripts", page.read_text(encoding="utf-8"))
    large = type(page)(tmp_path / "large <b>.html")
    large.write_bytes(b" " * 2_000_001)
    assert "<iframe" not in large._repr_html_()
    assert "<b>" not in large._repr_html_() and "2.0 MB" in large._repr_html_()


def test_names_are_data() -> None:
    class Result(Shown):
        def _parts(self) -> Iterator[Any]:
            yield from (HOSTILE, pd.DataFrame({"layer": [HOSTILE]}))

    assert (
        "<script" not in Result()._repr_html_()
        and "font-family: monospace" in Result()._repr_html_()
    )
    assert str(Result()).count(HOSTILE) == 2
    assert "<script" not in html([HOSTILE], lambda: b"")


def test_a_refusal_is_one_line_and_a_bug_has_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    cell = "import spikesam; spikesam.load('no-such-network')"
    shell.run_cell(cell)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("InputError: checkpoint 'no-such-network'")
    monkeypatch.setenv("SPIKESAM_DEBUG", "1")
    shell.run_cell(cell)
    assert "Traceback" in capsys.readouterr().out
