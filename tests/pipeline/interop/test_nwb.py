"""NWB: valid by NWB's own validators, and every spike comes back exactly."""

import warnings

import numpy as np
import pytest

from spikesam.pipeline import export
from spikesam.recordings.raster.arrays import write_raster
from tests.recordings.rasters import HEADER, readout, samples, spikes

pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed; pip install 'spikesam[nwb]'")

from spikesam.pipeline.interop import _nwb as nwb  # noqa: E402 - it needs it

DT = 0.002


@pytest.fixture
def opened():
    """Opens NWB files, and closes them after the test."""
    files = []

    def opened(path):
        files.append(pynwb.NWBHDF5IO(path, mode="r"))
        return files[-1].read()

    yield opened
    for file in files:
        file.close()


def raster_of(units, layer, shape, n_samples, timesteps, dt):
    """(N, T, C, H, W): what the units of a layer say, read as somebody who knows but the documents
    would.
    """
    found = np.zeros((n_samples * timesteps, *shape), bool)
    for _, unit in units[units.layer == layer].iterrows():
        steps = np.floor(unit.spike_times / dt).astype(int)
        assert not found[steps, unit.channel, unit.row, unit.column].any()
        found[steps, unit.channel, unit.row, unit.column] = True
    return found.reshape(n_samples, timesteps, *shape)


@pytest.mark.parametrize("block_bytes", [64 << 20, 60], ids=["at once", "in blocks of 2 bytes"])
def test_every_spike_comes_back(raster, tmp_path, opened, monkeypatch, block_bytes):
    monkeypatch.setattr(nwb, "BLOCK_BYTES", block_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export.main([str(raster), str(tmp_path / "new" / "out.nwb")])
    units = opened(tmp_path / "new" / "out.nwb").units.to_dataframe()
    for layer in HEADER.layers:
        found = raster_of(units, layer.name, layer.shape, 5, HEADER.timesteps, DT)
        assert np.array_equal(found, [spikes(HEADER, layer, at) for at in range(5)])
    assert all(len(times) > 0 and np.all(np.diff(times) > 0) for times in units.spike_times)
    assert list(dict.fromkeys(units.layer)) == ["input", "conv1", "fc1"]


def test_trials_layers_and_what_else_is_known(raster, tmp_path, opened):
    export.main([str(raster), str(tmp_path / "out.nwb")])
    file = opened(tmp_path / "out.nwb")
    trials = file.trials.to_dataframe()
    assert np.allclose(trials.start_time, [0, 0.012, 0.024, 0.036, 0.048])  # 6 steps of 2 ms each
    assert np.allclose(trials.stop_time, [0.012, 0.024, 0.036, 0.048, 0.06])
    assert trials["index"].tolist() == [0, 3, 6, 9, 12]
    assert trials.label.tolist() == samples(5).label.tolist()
    assert np.array_equal(np.stack(trials.readout), [readout(HEADER, at) for at in range(5)])
    assert file.units.resolution == DT
    layers = file.processing["network"]["layers"].to_dataframe()
    assert layers.index.tolist() == [0, 1, 2]
    assert layers.layer.tolist() == ["input", "conv1", "fc1"]
    assert layers[["channels", "height", "width"]].to_numpy().tolist() == [
        [2, 4, 5],
        [3, 4, 5],
        [7, 1, 1],
    ]
    assert layers.steps_that_matter.tolist() == [4, 5, 6]
    assert "network_sha256" in file.notes


def test_spikes_of_a_sample_lie_within_its_trial(raster, tmp_path, opened):
    export.main([str(raster), str(tmp_path / "out.nwb"), "--samples", "3:5", "--layers", "2"])
    file = opened(tmp_path / "out.nwb")
    trials, units = file.trials.to_dataframe(), file.units.to_dataframe()
    assert trials.index.tolist() == [3, 4]  # the positions in the raster
    assert trials["index"].tolist() == [9, 12]
    assert trials.start_time.tolist() == [0, pytest.approx(0.012)]
    assert set(units.layer) == {"fc1"}
    times = np.concatenate(units.spike_times.to_list())
    for row, position in enumerate((3, 4)):
        inside = (times >= trials.start_time.iloc[row]) & (times < trials.stop_time.iloc[row])
        assert inside.sum() == spikes(HEADER, HEADER.layers[2], position).sum()


def test_neither_the_validator_nor_the_inspector_of_nwb_finds_a_violation(raster, tmp_path):
    export.main([str(raster), str(tmp_path / "out.nwb")])
    assert not pynwb.validate(path=str(tmp_path / "out.nwb"))
    inspector = pytest.importorskip("nwbinspector", reason="nwbinspector is not installed")
    messages = [*inspector.inspect_nwbfile(nwbfile_path=str(tmp_path / "out.nwb"))]
    severe = [each for each in messages if each.importance.name != "BEST_PRACTICE_SUGGESTION"]
    # There is no animal to describe.
    assert [
        each.check_function_name for each in severe if "subject" not in each.check_function_name
    ] == []


def test_a_raster_without_spikes_and_without_readout(tmp_path, opened):
    path = write_raster(tmp_path / "raster.h5", {"conv1": np.zeros((2, 3, 1, 2, 2))})
    export.main([str(path), str(tmp_path / "out.nwb")])
    file = opened(tmp_path / "out.nwb")
    assert len(file.units.to_dataframe()) == 0
    assert file.trials.colnames == ("start_time", "stop_time", "index", "label", "prediction")
    assert not pynwb.validate(path=str(tmp_path / "out.nwb"))
