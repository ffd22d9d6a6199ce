"""The command `edit`: what it silences, prints and writes, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from spikesam.backends.network import LIF, Conv, Input, Layer, Network, Readout
from spikesam.pipeline.edit import main


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two samples: a convolution of 3×4×5 neurons, and 6 without places."""
    out, random = tmp_path_factory.mktemp("edit") / "run", np.random.default_rng(0)
    layers = (
        Layer("conv1", Input(Conv(random.normal(size=(3, 2, 3, 3)), padding=1)), LIF(0.9, 0.5)),
        Layer("fc1", Input(random.normal(size=(6, 60))), LIF(0.9, 0.5)),
    )
    network = Network((2, 4, 5), 10, layers, Readout(random.normal(size=(3, 6))), "spikes")
    spikesam.simulate(
        network, random.random((10, 2, 2, 4, 5)) < 0.4, out=out, backend="event"
    ).close()
    return out


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ("conv1 --all", {"all": True}),
        (
            "conv1 --rows 1:3 --columns 0 2 --samples 1",
            {"rows": [1, 2], "columns": [0, 2], "samples": [1]},
        ),
        (
            "1 --channels 0 1: --steps 4: --fires",
            {"channels": range(3), "steps": range(4, 10), "fires": True},
        ),
        ("fc1 --channels ::2", {"channels": [0, 2, 4]}),
    ],
)
def test_it_does_what_python_does(
    words: str,
    chosen: dict[str, Any],
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "edited.h5"
    main([str(finished), *words.split(), "--out", str(out)])
    expected = spikesam.edit(
        finished, layer=words.split()[0].replace("1", "conv1", words[0] == "1"), **chosen
    )
    assert capsys.readouterr().out.splitlines() == [*str(expected).splitlines(), str(out)]
    with spikesam.open_raster(out) as raster:
        assert raster.raster_digest == expected.raster.raster_digest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{run}", "see spikesam edit --help"),
        ("{run} conv9", "no layer 'conv9'; did you mean conv1?"),
        (
            "{run} conv1 --rows 2-3",
            "--rows: got '2-3', expected numbers or first:last:every, such as 3 or 6:15",
        ),
        ("{run} conv1 --columns 5", "edit: layer 'conv1': no column 5, expected 0 to 4"),
        ("{run} fc1 --rows 1", "edit: layer 'fc1': no row 1, expected 0 to 0"),
        (
            "{run} conv1 --samples 0",
            "layer 'conv1': nothing says which of its neurons to edit; give --rows, --columns, "
            "--channels or --steps, or --all for the whole layer",
        ),
        ("{run} conv1 --all --rows 1", "got places to edit beside the whole layer"),
        ("{run} conv1 --steps 9:9", "edit: layer 'conv1': no step in 9:9, expected some of 0 to 9"),
        ("{run} conv1 --network cluttered-digits", "was recorded from"),
        ("{run} conv1 --out {run}/raster.h5 --overwrite", "is an input; choose another --out"),
        (
            "{run} conv1 --out {run}/network.safetensors --overwrite",
            "is an input; choose another --out",
        ),
        ("{run} conv1 --out {run}/sam.h5", "sam.h5: already exists"),
        ("{run}/none.h5 conv1", "no such file"),
    ],
)
def test_mistakes_are_one_line(words: str, message: str, finished: Path, refused: Any) -> None:
    (finished / "sam.h5").touch()
    assert message in refused(main, *words.format(run=finished).split())
