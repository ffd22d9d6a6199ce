"""A network with constant-current input, end to end: the same bits on both backends, and nothing
assumes an input.
"""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikesam.backends.network import LIF, Input, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise
from spikesam.common.errors import InputError
from spikesam.pipeline import explain, export, run
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.images.encoding import in_eight_bits
from spikesam.pipeline.maps import explain as explanation
from spikesam.pipeline.networks.checkpoint import Checkpoint, load, save
from spikesam.pipeline.networks.samples import choose_samples
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from tests.pipeline.small_networks import class_folders, constant_current_checkpoint


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a checkpoint, images of its classes and a run on torch."""
    folder = tmp_path_factory.mktemp("constant")
    constant_current_checkpoint(folder / "constant.safetensors")
    class_folders(folder / "images", per_class=2)
    run.main(command(folder, "torch", "--figures", "2"))
    return folder


def command(folder: Path, out: str, *extra: str) -> list[str]:
    return [
        *("--checkpoint", str(folder / "constant.safetensors"), "--data", str(folder / "images")),
        *("--samples", "5", "--out", str(folder / out), *extra),
    ]


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def test_a_run_records_from_the_first_layer_on(workplace):
    out = workplace / "torch"
    assert list(summary(out)["spike_rate"]) == ["conv1", "conv2", "fc1"]
    assert all(0 < rate < 1 for rate in summary(out)["spike_rate"].values())
    with h5py.File(out / "raster.h5") as file:
        assert list(file["layers"]) == ["001_conv1", "002_conv2", "003_fc1"]
        assert file["layers/001_conv1/spikes"].attrs["kind"] == "conv"
        packed = [layer["spikes"][:] for layer in file["layers"].values()]
    with h5py.File(out / "sam.h5") as file:
        assert list(file["layers"]) == ["001_conv1", "002_conv2"]
        assert file["layers/001_conv1/sum"].shape == (5, 16, 24)
        assert file["layers/001_conv1/sam"].shape == (2, 8, 16, 24)  # of those that are pictured
    for number, layer in enumerate(
        packed, 1
    ):  # the image arrives in layer l at t = l, as if it came as spikes
        assert not np.ptp(layer[:, :number], axis=0).any()
        assert np.ptp(layer[:, number:], axis=0).any()
    assert {path.name for path in (out / "figures").iterdir()} == {
        *("overview.png", "spike_rates.png", "raster_conv2.png", "sam_000.png", "sam_001.png")
    }


@pytest.mark.long
def test_nothing_is_random_and_lava_gives_the_same_bits(workplace):
    pytest.importorskip("lava", reason="lava-nc is not installed")
    run.main(command(workplace, "lava", "--backend", "lava", "--figures", "0"))
    for key in ("raster_digest", "network_sha256", "spike_rate", "accuracy"):
        assert summary(workplace / "lava")[key] == summary(workplace / "torch")[key]


def test_explained_from_the_file_alone(workplace):
    raster = str(workplace / "torch" / "raster.h5")
    explain.main(
        [
            raster,
            "--layers",
            "conv2",
            "--out",
            str(workplace / "conv2.h5"),
            "--figures",
            str(workplace / "f"),
        ]
    )
    with (
        h5py.File(workplace / "conv2.h5") as some,
        h5py.File(workplace / "torch" / "sam.h5") as every,
    ):
        assert np.array_equal(some["layers/002_conv2/sum"], every["layers/002_conv2/sum"])
    assert (workplace / "f" / "overview.png").is_file()
    with RasterReader(raster) as reader, pytest.raises(InputError, match="no layer 'input'"):
        explanation.explain_source(reader, workplace / "no.h5", layers=["input"])


def test_images_are_what_the_network_receives(workplace):
    checkpoint = load(str(workplace / "constant.safetensors"))
    samples = choose_samples(str(workplace / "images"), checkpoint, 5, seed=0)
    batches = list(samples.encoded([3, 0, 1], checkpoint.network, seed=9, batch_size=2))
    assert [batch.shape for batch in batches] == [(2, 3, 16, 24), (1, 3, 16, 24)]
    assert np.array_equal(batches[0][0], in_eight_bits(samples.images([3])[0]))


def test_export_measures_it_once(workplace, capsys):
    out = workplace / "export"
    arguments = ["--data", str(workplace / "images"), "--seeds", "3", "--out", str(out)]
    export.main([str(workplace / "constant.safetensors"), *arguments])
    assert "6 images × 1 seed: " in capsys.readouterr().out
    assert len(json.loads((out / "accuracy.json").read_text())["accuracy_by_seed"]["fixed"]) == 1


def test_a_checkpoint_takes_rgb_without_on_and_off_planes(workplace):
    checkpoint = load(str(workplace / "constant.safetensors"))
    with pytest.raises(
        InputError, match="the network's input is 3×16×24, .* as ON and OFF planes of RGB, 6×16×24"
    ):
        replace(checkpoint, network=replace(checkpoint.network, encoder="poisson"))
    with pytest.raises(InputError, match="the network's input is 3×16×24, .* as RGB, 3×16×20"):
        replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, width=20))


def test_a_network_of_dense_layers_alone_has_bands(workplace):
    checkpoint = load(str(workplace / "constant.safetensors"))
    layer = Layer("fc1", Input(np.ones((4, 3 * 16 * 24))), LIF(1.0, bias=1e-4))  # on no grid
    network = Network((3, 16, 24), 8, (layer,), Readout(np.ones((3, 4))), "constant-current")
    dense = Checkpoint(
        network, checkpoint.preprocessing, checkpoint.classes, checkpoint.class_names
    )
    save(dense, workplace / "dense.safetensors")
    arguments = command(workplace, "dense", "--precision", "float32")
    arguments[1] = str(workplace / "dense.safetensors")
    run.main(arguments)
    with MapReader(workplace / "dense" / "sam.h5") as maps:
        assert maps["fc1"][0].shape == (8, 4, 1)
    assert (workplace / "dense" / "report.html").exists()
    with pytest.raises(
        InputError, match="layer 'fc1': the int8 weights of one neuron sum to 146,304"
    ):
        quantise(network)


@pytest.mark.parametrize("encoder", ["constant-current", "changing-current"])
def test_numbers_that_are_clipped_are_said_once(encoder):
    layers = (Layer("fc1", Input(np.eye(4), "input"), LIF(0.9)),)
    network = Network((4, 1, 1), 5, layers, Readout(np.ones((2, 4))), encoder, input_range=1.5)
    shape = (20, 4, 1, 1) if encoder == "constant-current" else (5, 20, 4, 1, 1)
    data = np.full(shape, 1.5, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(network, data)
    data[..., 3, :, :] = -4
    with pytest.warns(UserWarning, match="clipped") as found:
        simulate(network, data)
    (said,) = found
    expected = (
        "simulate: input: 25 % of the numbers are beyond ±1.5, the network's range, and "
        "are clipped to it"
    )
    assert (str(said.message), said.filename) == (expected, __file__)


def test_a_run_says_that_numbers_are_clipped(workplace, capsys):
    checkpoint = load(str(workplace / "constant.safetensors"))
    narrow = replace(checkpoint, network=replace(checkpoint.network, input_range=0.5))
    save(narrow, workplace / "narrow.safetensors")
    run.main(
        [
            *command(workplace, "narrow", "--figures", "0"),
            "--checkpoint",
            str(workplace / "narrow.safetensors"),
        ]
    )
    assert (
        "% of the numbers are beyond ±0.5, the network's range, and are clipped to it"
        in capsys.readouterr().out
    )
