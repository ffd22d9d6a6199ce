"""The command on a model of Loihi: its files, and refusals that leave none."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import spikesam
from spikesam.backends.network import LIF, Conv, Dense, Layer, Network, Readout
from spikesam.common.errors import InputError
from spikesam.pipeline import chip
from spikesam.pipeline.chips import _process as process
from spikesam.pipeline.chips import chip as chip_module
from spikesam.pipeline.chips.result_file import NAME
from spikesam.pipeline.page.write import report
from tests.pipeline.page.pages import runs_of

pytest.importorskip("sanafe")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    layer = Layer("fc1", Dense(np.ones((2, 4), np.float32)), LIF(0.5))
    network = Network((4, 1, 1), 5, (layer,), Readout(np.eye(2, dtype=np.float32)), "spikes")
    spikes = np.ones((5, 1, 4, 1, 1), np.bool_)
    spikesam.simulate(network, spikes, precision="float32", out=tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.long
def test_the_files_are_written_and_the_mapping_can_be_given_again(run: Path, capsys: Any) -> None:
    out = run.parent / "chip"
    chip.main([str(run), "--out", str(out)])
    tables = {f"{name}.csv" for name in chip.TABLES}
    assert {path.name for path in out.iterdir()} == {*tables, "mapping.csv", "chip.png"}
    assert "0 of 10 bits differ from the recording" in capsys.readouterr().out
    chip.main([str(run), "--mapping", str(out / "mapping.csv")])
    printed = capsys.readouterr().out
    assert "not on silicon" in printed and printed.endswith(f"\n{run / NAME}\n")
    (content,) = runs_of(report(run))
    layers = pd.read_csv(out / "layers.csv")
    assert {*layers["simulated_on"]} == {"a model of Loihi (SANA-FE 2.2.9)"}
    assert content["chip"]["cores"] == len(pd.read_csv(out / "cores.csv"))
    assert [row["layer"] for row in content["chip"]["rows"]] == [*layers["layer"]]
    np.testing.assert_allclose([row["soma"] for row in content["chip"]["rows"]], layers["soma"])


def test_a_file_of_somebody_else_is_not_replaced(run: Path) -> None:
    (run / NAME).write_text("mine")
    with pytest.raises(InputError, match=r"chip\.json: is not of spikesam, and would be replaced"):
        spikesam.chip(run)
    assert (run / NAME).read_text() == "mine"


@pytest.mark.long
def test_a_folder_that_takes_no_file_costs_no_result(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(run / NAME))

    monkeypatch.setattr(chip_module, "write_result", full)
    with pytest.warns(UserWarning, match=r"chip\.json is not written .*No space left"):
        assert spikesam.chip(run).bits == 0


@pytest.mark.long
def test_a_network_and_the_names_of_its_samples_are_simulated_first(run: Path, capsys: Any) -> None:
    kernel = np.full((1, 2, 1, 1), 0.5, np.float32)
    layer = Layer("conv1", Conv(kernel), LIF(0.5))
    readout = Readout(np.ones((2, 64), np.float32))
    network = Network((2, 8, 8), 5, (layer,), readout, "poisson")
    preparation = spikesam.Preprocessing(8, 8, 0.5, 0.25)
    names = ("a", "b")
    checkpoint = spikesam.Checkpoint(network, preparation, names, names)
    spikesam.save(checkpoint, run / "small.safetensors")
    Image.new("RGB", (8, 8), "white").save(run / "white.png")
    chip.main([str(run / "small.safetensors"), "--data", str(run / "white.png")])
    assert "0 of 320 bits differ" in capsys.readouterr().out
    words = [str(run / "small.safetensors"), "--data", str(run / "white.png"), "--timesteps", "3"]
    chip.main(words)
    assert "0 of 192 bits differ" in capsys.readouterr().out


def test_a_process_that_dies_leaves_no_file(
    run: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.setattr(process, "CODE", "import os; os.kill(os.getpid(), 9)")
    assert "chip: SANA-FE was ended by SIGKILL" in refused(
        chip.main, run, "--out", run.parent / "chip"
    )
    assert [path.name for path in run.parent.iterdir()] == ["run"] and not (run / NAME).exists()


def test_a_mapping_of_no_layer_leaves_no_file(run: Path, refused: Any) -> None:
    (run.parent / "mapping.csv").write_text("layer,core\nconv9,1\n")
    line = refused(
        chip.main, run, "--mapping", run.parent / "mapping.csv", "--out", run.parent / "chip"
    )
    assert "names no layer 'conv9'" in line
    assert not (run.parent / "chip").exists()
