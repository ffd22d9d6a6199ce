"""Data of NIR become rasters: of other programs and chips, and those that were exported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikesam
from spikesam.pipeline import export
from tests.pipeline.imports.nir.graphs import nir

BITS = np.random.default_rng(0).random((3, 6, 7)) < 0.3
GRID, EVENTS = nir.TimeGriddedData(BITS, 1e-3), nir.TimeGriddedData(BITS, 1e-3).to_event(60)


def data(**observables: Any) -> Any:
    return nir.NIRGraphData({"x": nir.NIRNodeData(observables)})


def test_what_was_exported_is_the_raster_that_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = np.random.default_rng(1).random((3, 6, 2, 4, 5)) < 0.3
    layers, about = (
        {"input": maps[:, :, :1], "z": maps, "a": BITS},
        {"labels": [1, 2, 0], "index": [5, 6, 7]},
    )
    raster = spikesam.write_raster(tmp_path / "a.h5", layers, **about, layer_delay=1, dt=2e-3)
    export.main([str(raster), str(tmp_path / "a.nir")])
    export.main([str(tmp_path / "a.nir"), str(tmp_path / "b.h5")])
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "b.h5")
    with spikesam.open_raster(raster) as a, spikesam.open_raster(tmp_path / "b.h5") as b:
        b.verify()
        assert a.raster_digest == b.raster_digest
        assert (a.header.layers, a.header.dt, a.header.layer_delay) == (
            b.header.layers,
            b.header.dt,
            1,
        )
        assert (b.labels.tolist(), b.samples.index.tolist()) == ([1, 2, 0], [5, 6, 7])


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("found", [GRID, EVENTS])
def test_data_of_others(found: Any, in_file: bool, tmp_path: Path) -> None:
    given: Any = data(spikes=found, v=nir.TimeGriddedData(BITS * 0.3, 1e-3))
    if in_file:
        nir.write_data(tmp_path / "data.nir", given)
        given = tmp_path / "data.nir"
    else:
        given.nodes["g"] = nir.NIRGraphData({"1.neuron": nir.NIRNodeData({"spikes": found})})
    path = spikesam.from_nir_data(given, tmp_path / "c.h5", dt=1e-3, shapes={"x": (7, 1, 1)})
    with spikesam.open_raster(path) as raster:
        assert list(raster) == (["x"] if in_file else ["x", "g_1"])
        assert all(
            np.array_equal(raster[name][:][..., 0, 0].swapaxes(0, 1), BITS) for name in raster
        )


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (3, {}, "from_nir_data: got int, expected a nir.NIRGraphData or a file of one"),
        (data(v=GRID), {}, "holds no node with an observable 'spikes', expected at least one"),
        (
            data(spikes=EVENTS),
            {"dt": None},
            "holds events alone, expected dt, the seconds in a step",
        ),
        (data(spikes=EVENTS), {"dt": 0.0}, "dt: got 0, expected seconds in a step, above 0"),
        (data(spikes=GRID), {"dt": 2e-3}, r"node 'x': has steps of 0\.001 s, expected 0\.002 s"),
        (
            data(spikes=nir.TimeGriddedData(BITS * 0.3, 1e-3)),
            {},
            "layer 'x', sample 0: got the value 0.3, expected sp",
        ),
        (
            data(
                spikes=nir.ValuedEventData(
                    EVENTS.idx, EVENTS.time, 7, 6e-3, np.full(EVENTS.idx.shape, 0.5)
                )
            ),
            {},
            r"node 'x': events carry values such as 0\.5, expected spikes, whose value is 1",
        ),
        (
            data(spikes=nir.EventData(EVENTS.idx, EVENTS.time, 7, 3e-3)),
            {},
            r"node 'x': .*time: got 0\.003 s for spike",
        ),
        (
            data(spikes=nir.EventData(EVENTS.idx, EVENTS.time, 3, 6e-3)),
            {},
            "node 'x': .*neuron: got 3 for spike 2",
        ),
        (
            data(spikes=nir.EventData(EVENTS.idx, EVENTS.time, 7, np.inf)),
            {},
            "t_max is inf s, expected above 0, and",
        ),
        (
            data(spikes=EVENTS),
            {"shapes": {"q": (7,)}},
            "holds no spikes of 'q', expected shapes of some of x",
        ),
        (
            data(spikes=EVENTS),
            {"shapes": {"x": (2, 2, 2)}},
            r"node 'x': has 7 neurons, expected a map of \(2, 2, 2\)",
        ),
    ],
)
def test_data_that_are_no_spikes_are_one_line(
    given: Any, options: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(spikesam.InputError, match=message):
        spikesam.from_nir_data(given, tmp_path / "c.h5", **{"dt": 1e-3} | options)
    assert not any(tmp_path.iterdir())


def test_files_that_are_no_data_are_one_line(tmp_path: Path, refused: Callable[..., str]) -> None:
    lines = nir.NIRGraph.from_list(
        nir.Input(np.array([2])), nir.Linear(np.eye(2)), nir.Output(np.array([2]))
    )
    nir.write(tmp_path / "graph.nir", lines)
    raster = spikesam.write_raster(tmp_path / "a.h5", {"a": BITS})
    assert "a graph of NIR, expected data of NIR" in refused(
        export.main, tmp_path / "graph.nir", tmp_path / "c.h5"
    )
    assert "HDF5 without a group 'nodes', expected data" in refused(
        export.main, raster, tmp_path / "c.h5"
    )
    message = refused(export.main, raster, tmp_path / "c.nwb", "--rounding", "up")
    assert "--rounding is for data of NIR that become a raster" in message
    nir.write_data(tmp_path / "data.nir", data(spikes=EVENTS))
    for cut in (100, 3000):
        (tmp_path / "cut.nir").write_bytes((tmp_path / "data.nir").read_bytes()[:cut])
        with pytest.raises(spikesam.InputError, match=r"cut\.nir: "):
            spikesam.from_nir_data(tmp_path / "cut.nir", tmp_path / "c.h5", dt=1e-3)
