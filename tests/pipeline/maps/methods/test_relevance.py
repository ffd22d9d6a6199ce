"""Relevance of a recorded raster: what its file holds, the network that it needs, and refusals."""

import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

import spikesam
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.storage import read_network, write_network
from spikesam.common.errors import InputError
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.explain import main
from spikesam.pipeline.maps.explain import explain_source
from spikesam.pipeline.maps.relevance import relevance
from spikesam.pipeline.networks.recorded import recorded_network
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.arrays import write_raster
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.small_networks import (
    class_folders,
    constant_current_checkpoint,
    small_ann,
    small_checkpoint,
)
from tests.pipeline.without_torch import EXPLAIN_WITHOUT_TORCH


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three images through a small network."""
    path = tmp_path_factory.mktemp("relevance")
    class_folders(path / "data", per_class=1)
    simulate(
        small_checkpoint(path / "snn.safetensors"), str(path / "data"), out=path / "run", samples=3
    ).close()
    return path


def explained(raster: Path, out: Path, *arguments: object) -> dict[str, np.ndarray]:
    main(
        [str(argument) for argument in (raster, "--method", "relevance", "--out", out, *arguments)]
    )
    with MapReader(out) as maps:
        return {name: maps[name].sum for name in maps}


def test_a_dense_layer_has_its_relevance_neuron_by_neuron(folder: Path) -> None:
    network = read_network(folder / "run" / "network.safetensors")[0]
    with RasterReader(folder / "run" / "raster.h5") as recorded:
        name = list(recorded)[-1]
        fired = [recorded[each][0] for each in recorded]
        expected = relevance(network, fired, int(recorded.predictions[0]))[-1].reshape(
            len(fired[0]), -1, 1
        )
        band = explain_source(
            recorded, folder / "band.h5", method="relevance", layers=[name], steps="all"
        )[name]
        assert expected.shape[1] > 1
        np.testing.assert_array_equal(band[0], np.maximum(expected, 0).astype(np.float32))


def test_the_file_holds_the_relevance_of_spikes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raster, out = folder / "run" / "raster.h5", tmp_path / "relevance.h5"
    sums = explained(raster, out, "--figures", tmp_path / "figures")
    assert "maps of 3 samples, 8 steps, layers input, conv1, conv2" in capsys.readouterr().out
    assert (tmp_path / "figures" / "relevance_002.png").stat().st_size > 1000
    network = read_network(folder / "run" / "network.safetensors")[0]
    with RasterReader(raster) as recorded, MapReader(out) as maps:
        assert maps.header.source == recorded.raster_digest
        assert maps.header.parameters == {"rule": "signed", "network_sha256": network.sha256}
        for sample in range(3):
            fired = [recorded[name][sample] for name in recorded]
            of_layers = relevance(network, fired, int(recorded.predictions[sample]))
            for name, each in zip(maps, of_layers, strict=False):
                summed = np.maximum(each.sum(axis=(0, 1)), 0)
                np.testing.assert_allclose(sums[name][sample], summed, rtol=1e-6)
                np.testing.assert_allclose(
                    maps[name][sample], np.maximum(each.sum(axis=1), 0), rtol=1e-6
                )


def test_the_function_makes_the_same_maps_as_the_command(folder: Path, tmp_path: Path) -> None:
    raster = folder / "run" / "raster.h5"
    explained(raster, tmp_path / "command.h5")
    with (
        explain_source(raster, method="relevance") as maps,
        MapReader(tmp_path / "command.h5") as same,
    ):
        assert maps.path == folder / "run" / "relevance.h5"
        assert maps.content_digest == same.content_digest
    for options, told in (
        ({"method": "lrp"}, "method is 'lrp', expected one of"),
        ({"method": "relevence"}, "method is 'relevence', .*; did you mean 'relevance'"),
        ({"method": "relevance", "rule": "z"}, "rule is 'z', expected one of"),
    ):
        with pytest.raises(InputError, match=f"explain: {told}"):
            explain_source(raster, tmp_path / "no.h5", **options)


def test_each_target_has_a_file(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "run", tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "replaced other maps" among others
        for target in (None, 1, "0", 1):
            explain_source(run, method="relevance", target=target).close()
    targets = {}
    for path in run.glob("relevance*.h5"):
        with MapReader(path) as maps:
            targets[path.name] = maps.header.parameters.get("target")
    assert targets == {"relevance.h5": None, "relevance-of-1.h5": 1, "relevance-of-0.h5": 0}


def test_a_checkpoint_will_do_and_layers_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    raster = folder / "run" / "raster.h5"
    every = explained(raster, tmp_path / "all.h5", "--rule", "positive")
    network = folder / "snn.safetensors"  # in float32, as it was trained
    chosen = explained(
        raster, tmp_path / "one.h5", "--rule", "positive", "--network", network, "--layers", "conv2"
    )
    assert list(chosen) == ["conv2"]
    np.testing.assert_array_equal(chosen["conv2"], every["conv2"])


def test_behind_a_constant_current_the_first_layer_is_the_first_explained(
    folder: Path, tmp_path: Path
) -> None:
    checkpoint = constant_current_checkpoint(tmp_path / "constant.safetensors")
    simulate(str(checkpoint), str(folder / "data"), out=tmp_path / "run", samples=2).close()
    sums = explained(tmp_path / "run" / "raster.h5", tmp_path / "relevance.h5")
    assert list(sums) == ["conv1", "conv2"] and all(each.any() for each in sums.values())


def test_an_imported_network_that_takes_the_maximum_of_its_currents(tmp_path: Path) -> None:
    """Conv → MaxPool → Leaky, as in snnTorch's tutorials: from the model to a file of maps, and to
    a page.
    """
    torch.manual_seed(0)
    fires = lambda: snntorch.Leaky(0.9, threshold=0.3, init_hidden=True)  # noqa: E731
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), fires()),
        *(nn.Conv2d(4, 6, 2), nn.MaxPool2d(2), fires()),
        *(nn.Flatten(), nn.Linear(6 * 4, 3), fires()),
    ).eval()
    spikes = (np.random.default_rng(0).random((8, 2, 1, 12, 12)) < 0.5).astype(np.uint8)
    network = spikesam.from_torch(model, torch.tensor(spikes, dtype=torch.float32))
    assert [layer.inputs[0].synapse.current_pool for layer in network.layers[:2]] == [2, 2]
    simulate(network, spikes, out=tmp_path, precision="float32").close()
    sums = explained(tmp_path / "raster.h5", tmp_path / "relevance.h5")
    assert len(sums) == 3 and all(each.any() for each in sums.values())
    assert re.search(
        r'"classes":\[\d', spikesam.report(tmp_path).read_text()
    )  # of which the page shows relevance


def test_works_where_torch_and_lava_cannot_be_imported(folder: Path, tmp_path: Path) -> None:
    arguments = [
        str(folder / "run" / "raster.h5"),
        "--method",
        "relevance",
        "--out",
        str(tmp_path / "relevance.h5"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", EXPLAIN_WITHOUT_TORCH, *arguments], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_network_that_was_not_recorded_is_refused(folder: Path, tmp_path: Path) -> None:
    raster = folder / "run" / "raster.h5"
    network = read_network(folder / "snn.safetensors")[0]
    readout = replace(network.readout, weight=network.readout.weight[:, ::-1])
    write_network(replace(network, readout=readout), tmp_path / "other.safetensors")
    small_ann(tmp_path / "ann.safetensors")
    alone = tmp_path / "raster.h5"
    alone.write_bytes(raster.read_bytes())
    other = quantise(replace(network, readout=readout)).sha256
    unknown = write_raster(tmp_path / "unknown.h5", {"conv1": np.zeros((1, 2, 1, 2, 2), bool)})
    for file, name, message in (
        (
            raster,
            tmp_path / "other.safetensors",
            rf"other.safetensors: network {other[:12]}, but .*raster.h5 was rec",
        ),
        (raster, tmp_path / "ann.safetensors", "got an ANN, which does not spike"),
        (raster, "cluttered-digitz", "did you mean 'cluttered-digits'"),
        (raster, alone, "raster.h5: "),
        (
            alone,
            None,
            r"raster.h5: no network.safetensors lies beside it; give network, what the recorded "
            r"model became",
        ),
        (
            unknown,
            None,
            "unknown.h5: does not say which network fired it; give network, what the recorded "
            "model became",
        ),
    ):
        with RasterReader(file) as reader, pytest.raises(InputError, match=message) as raised:
            recorded_network(reader, None if name is None else str(name))
        assert "\n" not in str(raised.value)
