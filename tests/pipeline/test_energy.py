"""The command `energy`: what it prints and writes, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import spikesam
from spikesam.backends.network import LIF, Layer, Network, Readout
from spikesam.common.text import printable
from spikesam.pipeline.energy import main


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("energy") / "run"
    spikesam.simulate("residual-digits", samples=3, out=out).close()
    return out


def run(*arguments: object) -> None:
    main([str(argument) for argument in arguments])


def test_a_table_in_eighty_columns(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(finished)
    printed = capsys.readouterr()
    table = printed.out.split("Mean of 3 samples")[0].splitlines()
    assert max(map(len, table)) <= 80
    rows = [line.split()[0] for line in table if line.strip()]
    with spikesam.open_raster(finished / "raster.h5") as raster:
        assert rows == ["layer", *(printable(name, 14) for name in raster), "readout", "all"]
    found = spikesam.energy(finished)
    (last,) = (line for line in table if line.split()[:1] == ["all"])
    assert f"{found.sparsity:.1%}" in last
    assert f"{found.layers['ann_macs'].sum() / 1e6:.2f} M" in last
    assert "By class: " in printed.out
    assert "Horowitz 2014" in printed.out
    assert printed.err == ""


def test_tables_and_pictures(
    finished: Path, tmp_path: Path, refused: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(finished, "--prices", "loihi", "--out", out)
    names = ["layers.csv", "steps.csv", "classes.csv", "energy.png", "energy_map.png"]
    assert capsys.readouterr().out.splitlines()[-5:] == [f"{out}/{name}" for name in names]
    found = spikesam.energy(finished, prices="loihi")
    for name in ("layers", "steps", "classes"):
        pd.testing.assert_frame_equal(
            pd.read_csv(out / f"{name}.csv"), getattr(found, name), check_dtype=False
        )
    assert min((out / name).stat().st_size for name in names) > 100
    said = refused(main, finished, "--out", out)
    assert (
        said == f"error: {out}: holds files already; choose another --out, or replace it with "
        "--overwrite"
    )
    run(finished, "--out", out, "--overwrite")


def test_spikes_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spikes = np.zeros((1, 4, 1, 2, 2), bool)
    raster = spikesam.write_raster(tmp_path / "c.h5", {"conv1": spikes})
    run(raster, "--out", tmp_path / "out")
    printed = capsys.readouterr().out
    assert (
        "Synaptic operations and energy are not known: the recording does not say which network "
        "fired; give --network, or record with operations=True." in printed
    )
    assert "Never fires: conv1." in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "classes.csv",
        "layers.csv",
        "steps.csv",
    ]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """2 steps of a linear layer whose 3 synapses take a spike, a number, and nothing."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 1, bias=False), torch.nn.Hardtanh(0, 1)).eval()
    torch.nn.init.ones_(model[0].weight)
    inputs = torch.tensor([[[1.0, 0.5, 0.0]], [[1.0, 1.0, 0.0]]])
    folder, options = tmp_path / "model", {"layers": {"1": "lif"}, "layout": "TB..."}
    with torch.no_grad(), spikesam.record(model, folder, operations=True, **options) as recording:
        recording.finish((model(inputs) >= 1).float())
    return folder


def test_counts_of_a_recorded_model(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(recording, "--out", tmp_path / "out")
    printed = capsys.readouterr().out
    (row,) = (line.split() for line in printed.splitlines() if line.split()[:1] == ["0"])
    assert row[2] == "3"  # SynOps
    assert "Numbers that are no spikes take 1 MACs." in printed
    assert "ounted while the model ran; bytes and mean rates need the network" in printed
    table = pd.read_csv(tmp_path / "out" / "steps.csv")
    assert table[table["layer"] == "0"]["operations"].tolist() == [1, 2]


def test_a_raster_that_was_replaced_has_no_counts(recording: Path, refused: Any) -> None:
    spikes = {"lif": np.array([0, 1], bool).reshape(1, 2, 1, 1, 1)}
    spikesam.write_raster(recording / "raster.h5", spikes, overwrite=True)
    assert refused(main, recording) == (
        f"error: {recording}/operations.safetensors: counts operations of another raster than "
        f"{recording}/raster.h5, expected of its spikes; record again with operations=True, or "
        "remove it"
    )
    (recording / "operations.safetensors").unlink()
    run(recording)


def test_what_is_refused(finished: Path, tmp_path: Path, refused: Any) -> None:
    assert "but" in refused(main, finished, "--network", "cluttered-digits")
    assert refused(main, tmp_path).startswith(
        f"error: {tmp_path}: has no raster.h5, expected the folder of a run"
    )
    assert "--prices" in refused(main, finished, "--prices", "7nm")
    shutil.copy(finished / "raster.h5", tmp_path / "raster.h5")
    (tmp_path / "network.safetensors").symlink_to(finished / "network.safetensors")
    assert "link" in refused(main, tmp_path)
    (tmp_path / "file").write_text("")
    assert "file" in refused(main, finished, "--out", tmp_path / "file")
    assert list(tmp_path.glob("**/*.csv")) == []


def test_an_image_that_drives_dense_layers_has_a_map_of_energy_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layer = Layer("fc1", rng.normal(size=(5, 36)), LIF(0.9))
    network = Network((1, 6, 6), 8, (layer,), Readout(rng.normal(size=(2, 5))), "constant-current")
    spikesam.simulate(
        network,
        rng.normal(size=(2, 1, 6, 6)).astype(np.float32),
        out=tmp_path / "run",
        backend="event",
    )
    run(tmp_path / "run", "--out", tmp_path / "energy")
    assert {"energy.png", "energy_map.png"} <= {
        path.name for path in (tmp_path / "energy").iterdir()
    }
