"""Grad-CAM of spiking and artificial networks as a command."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from spikesam.pipeline.explain import main as explain
from spikesam.pipeline.gradcam import main
from spikesam.pipeline.images.encoding import mean_spikes
from spikesam.pipeline.images.preprocessing import read_image
from spikesam.pipeline.images.samples import choose_samples
from spikesam.pipeline.maps.methods.grad_cam import grad_cam
from spikesam.pipeline.maps.methods.snn_grad_cam import snn_grad_cam
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader, MapLayer
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint


def run(*arguments: object, code: int = 0) -> None:
    """The command in this process; it must end with exit code `code`."""
    with pytest.raises(SystemExit) if code else nullcontext() as stop:
        main([str(argument) for argument in arguments])
    assert stop is None or stop.value.code == code


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spiking network, an ANN, class folders and one image of no class."""
    folder = tmp_path_factory.mktemp("gradcam")
    small_checkpoint(folder / "snn.safetensors")
    small_ann(folder / "ann.safetensors")
    class_folders(folder / "data", per_class=1)
    return folder


def test_command_for_a_spiking_network(workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, network = tmp_path / "snn.h5", workplace / "snn.safetensors"
    run(network, "--data", workplace / "data", "--seed", 3, "--out", out, "--figures", tmp_path / "figures")
    printed = capsys.readouterr()
    assert "snn-grad-cam maps of 3 samples, 8 steps, layers input, conv1, conv2" in printed.out
    assert [path.name for path in sorted((tmp_path / "figures").iterdir())] == [
        "overview.png",
        *(f"snn-grad-cam_{number:03d}.png" for number in range(3)),
    ]
    checkpoint = load_checkpoint(str(network))
    samples = choose_samples(str(workplace / "data"), checkpoint, 3, 3)
    labels = samples.table.label
    (inputs,) = samples.encoded(range(3), checkpoint.network, 3, 3)
    differentiable = DifferentiableNetwork(checkpoint.network)
    _, expected = snn_grad_cam(differentiable, inputs, labels, [])
    with MapReader(out) as maps:
        assert (maps.header.source, maps.header.parameters) == (checkpoint.network.sha256, {"seed": 3})
        np.testing.assert_array_equal(maps.samples.label, labels)
        logits = differentiable(torch.from_numpy(inputs.unpacked()).float())[0]
        np.testing.assert_array_equal(maps.predictions, logits.argmax(1))
        for layer in maps:
            for sample in range(3):
                found = maps[layer][sample]
                np.testing.assert_allclose(found, expected[layer][:, sample], rtol=1e-4, atol=1e-7)
                matter = maps[layer].steps_that_matter
                summed = expected[layer][:matter, sample].sum(axis=0)
                np.testing.assert_allclose(maps[layer].sum[sample], summed, rtol=1e-4, atol=1e-6)


def test_command_for_an_ann(workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, image = tmp_path / "ann.h5", next((workplace / "data" / "pear").iterdir())
    run(workplace / "ann.safetensors", "--data", image, "--out", out, "--figures", tmp_path / "figures")
    printed = capsys.readouterr().out
    assert printed.startswith("no label is known of 1 of 1 sample: explained for the predicted class\n")
    assert "grad-cam maps of 1 sample, 1 step, layers conv2" in printed
    ann = load_checkpoint(str(workplace / "ann.safetensors"))
    inputs = mean_spikes(ann.preprocessing.image(read_image(image))[None])
    with MapReader(out) as maps:
        layers = (MapLayer("conv2", 2, (8, 12), 1),)
        assert maps.header == MapHeader("grad-cam", ann.network.sha256, {}, 1, layers, (0,), 1, "network_sha256")
        assert maps.samples.label[0] == -1
        expected = grad_cam(DifferentiableNetwork(ann.network), inputs, maps.predictions, ["conv2"])[1]["conv2"]
        np.testing.assert_allclose(maps["conv2"][0], expected[0], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(maps["conv2"].sum, maps["conv2"][0])  # of one step


@pytest.mark.parametrize("method", ["grad-cam", "snn-grad-cam", "occlusion"])
def test_explain_is_the_same_command(
    method: str, workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = workplace / "snn.safetensors", "--data", workplace / "data", "--samples", 2, "--seed", 1, "--out"
    run(*about, tmp_path / "maps.h5", *(("--method", method) if method == "occlusion" else ()))
    expected = capsys.readouterr().out
    explain([str(argument) for argument in (*about, tmp_path / "same.h5", "--method", method)])
    assert capsys.readouterr().out == expected.replace("maps.h5", "same.h5")
    assert (tmp_path / "same.h5").read_bytes() == (tmp_path / "maps.h5").read_bytes()
