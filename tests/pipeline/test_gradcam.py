"""Grad-CAM of spiking and artificial networks: by hand, against captum, and as a command."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from backends.network import LIF, Layer, Network, Readout, ReLU
from pipeline.gradcam import main
from pipeline.images.encoding import mean_spikes
from pipeline.images.preprocessing import read_image
from pipeline.images.samples import choose_samples
from pipeline.maps.grad_cam import grad_cam
from pipeline.maps.snn_grad_cam import snn_grad_cam
from pipeline.networks.ann import ReluNetwork
from pipeline.networks.checkpoint import load_checkpoint
from pipeline.networks.differentiable import DifferentiableNetwork
from pipeline.networks.folding import export_network
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.maps.schema import MapHeader, MapLayer
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint, small_model


def two_channels() -> Network:
    """Two planes of 1×2 pixels straight to two channels (weight 3, so that every spike makes one), then to two classes.

    T = 3, threshold 1, leak 0. Readout of class 0: +3, +1 for the first channel's pixels, -4, +1 for the second's.
    """
    weight = 3 * np.eye(2).reshape(2, 2, 1, 1)
    readout = np.array([[3.0, 1, -4, 1], [0, 0, 1, 1]])
    return Network((2, 1, 2), 3, (Layer("conv1", weight, LIF(0.0)),), Readout(readout))


def test_spiking_grad_cam_by_hand() -> None:
    """Worked out on paper.

    Spikes of the layer are those of the input a step later; ∂y/∂A is the readout's weight / T at every step. So
    α = mean over pixels and steps: (3 + 1)/2/3 = 2/3 and (-4 + 1)/2/3 = -1/2 for class 0; 0 and 1/3 for class 1.
    """
    inputs = np.zeros((3, 1, 2, 1, 2), bool)
    inputs[0, 0, 0] = [1, 0]  # arrives at t = 1: channel 0 left
    inputs[1, 0] = [[[1, 1]], [[1, 0]]]  # at t = 2: channel 0 both, channel 1 left
    network = DifferentiableNetwork(two_channels())
    predictions, maps = snn_grad_cam(network, inputs, np.array([0]), ["conv1"])
    assert predictions.tolist() == [0]
    assert list(maps) == ["conv1"]
    expected = [[[0, 0]], [[2 / 3, 0]], [[2 / 3 - 1 / 2, 2 / 3]]]
    np.testing.assert_allclose(maps["conv1"][:, 0], expected, rtol=1e-6)
    for_class_1 = snn_grad_cam(network, inputs, np.array([1]), ["1"])[1]["conv1"][:, 0]
    np.testing.assert_allclose(for_class_1, [[[0, 0]], [[0, 0]], [[1 / 3, 0]]], rtol=1e-6)
    # logits: 3 + (3 + 1 - 4) = 3 over 3, and 1 over 3: class 0 is what an unknown label stands for
    np.testing.assert_array_equal(snn_grad_cam(network, inputs, np.array([-1]), ["conv1"])[1]["conv1"], maps["conv1"])


def test_negative_evidence_gives_zero() -> None:
    inputs = np.zeros((3, 1, 2, 1, 2), bool)
    inputs[0, 0, 1] = True  # only channel 1, which speaks against class 0
    assert not snn_grad_cam(DifferentiableNetwork(two_channels()), inputs, np.array([0]), ["conv1"])[1]["conv1"].any()


def test_every_layer_at_once_is_every_layer_alone() -> None:
    network = DifferentiableNetwork(export_network(small_model()))
    inputs = np.random.default_rng(0).random((8, 2, 6, 16, 24)) < 0.4
    labels = np.array([2, 0])
    _, together = snn_grad_cam(network, inputs, labels, [])
    assert {name: maps.shape for name, maps in together.items()} == {
        "input": (8, 2, 16, 24),
        "conv1": (8, 2, 16, 24),
        "conv2": (8, 2, 8, 12),
    }
    for name, maps in together.items():
        assert maps.dtype == np.float32 and maps.any() and (maps >= 0).all()
        for sample in range(2):  # and every sample, whatever it is batched with
            alone = snn_grad_cam(network, inputs[:, [sample]], labels[[sample]], [name])[1][name]
            np.testing.assert_allclose(alone[:, 0], maps[:, sample], rtol=1e-4, atol=1e-7)


def test_a_layer_that_never_spikes_gives_zero() -> None:
    network = DifferentiableNetwork(export_network(small_model()))
    for maps in snn_grad_cam(network, np.zeros((8, 1, 6, 16, 24), bool), np.array([1]), ["input", "conv1"])[1].values():
        assert np.isfinite(maps).all()
    silent = DifferentiableNetwork(two_channels())
    assert not snn_grad_cam(silent, np.zeros((3, 1, 2, 1, 2), bool), np.array([0]), ["conv1"])[1]["conv1"].any()


def test_dense_and_unknown_layers_are_refused() -> None:
    network = DifferentiableNetwork(export_network(small_model()))
    inputs = np.zeros((8, 1, 6, 16, 24), bool)
    with pytest.raises(InputError, match="Grad-CAM: layer 'fc1' is dense.*choose from input, conv1, conv2"):
        snn_grad_cam(network, inputs, np.array([0]), ["fc1"])
    with pytest.raises(InputError, match="Grad-CAM: no layer 'conv3'; did you mean conv2 or conv1"):
        snn_grad_cam(network, inputs, np.array([0]), ["conv3"])


def seeing_ann() -> DifferentiableNetwork:
    """Two 3×3 filters that pass the red and the green pixel on, before a dense layer that just copies 2·1·2 values."""
    weight = np.zeros((2, 3, 3, 3))
    weight[0, 0, 1, 1] = weight[1, 1, 1, 1] = 2
    layers = (Layer("conv1", weight, ReLU(), padding=1), Layer("fc1", np.eye(4), ReLU()))
    readout = Readout(np.array([[3.0, 1, -4, 1], [0, 0, 1, 1]]))
    return DifferentiableNetwork(Network((3, 1, 2), 1, layers, readout, "image"))


def test_grad_cam_of_an_ann_by_hand() -> None:
    """Activations are the red and green pixels (blue has no filter, negative ones are cut off).

    The last of each pair below is negative, so neither it nor its gradient counts: α = (3 + 0)/2 for the red channel
    and (-4 + 0)/2 for the green one, for class 0; 0 and 1/2 for class 1.
    """
    inputs = mean_spikes(np.float32([[1, -1], [0.5, -1], [1, 1]]).reshape(1, 3, 1, 2))
    for label, expected in ((0, [[0.5, 0]]), (1, [[0.25, 0]]), (-1, [[0.5, 0]])):  # logits 1 and 0.5
        predictions, maps = grad_cam(seeing_ann(), inputs, np.array([label]), ["conv1"])
        assert predictions.tolist() == [0]
        np.testing.assert_allclose(maps["conv1"], [[expected]], rtol=1e-6)


def test_grad_cam_of_an_ann_is_the_formula() -> None:
    """α A with gradients by torch alone, at each layer; what captum does with them."""
    torch.manual_seed(0)
    network = DifferentiableNetwork(export_network(ReluNetwork([5, "P", 6, 7, "P", "D8"], 3, 8, 12, 4)))
    inputs = np.random.default_rng(0).uniform(-1, 1, (3, 3, 8, 12)).astype(np.float32)
    labels = np.array([3, 0, 1])
    logits, activations = network(torch.from_numpy(inputs))
    gradients = torch.autograd.grad(logits[range(3), labels].sum(), activations)
    _, maps = grad_cam(network, inputs, labels, [])
    assert {name: found.shape for name, found in maps.items()} == {
        "conv1": (1, 3, 8, 12),
        "conv2": (1, 3, 4, 6),
        "conv3": (1, 3, 4, 6),
    }
    for activity, gradient, found in zip(activations, gradients, maps.values(), strict=False):
        expected = (gradient.mean((2, 3), keepdim=True) * activity).sum(1).clamp(min=0).detach()
        assert found.any()
        np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-7)


def test_dense_layers_of_an_ann_are_refused() -> None:
    with pytest.raises(InputError, match="Grad-CAM: layer 'fc1' is dense.*choose from conv1"):
        grad_cam(seeing_ann(), np.zeros((1, 3, 1, 2), np.float32), np.array([0]), ["fc1"])


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
        logits = differentiable(torch.from_numpy(inputs).float())[0]
        np.testing.assert_array_equal(maps.predictions, logits.argmax(1))
        for layer in maps:
            for sample in range(3):
                found = maps[layer][sample]
                np.testing.assert_allclose(found, expected[layer][:, sample], rtol=1e-4, atol=1e-7)


def test_command_for_an_ann(workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, image = tmp_path / "ann.h5", next((workplace / "data" / "pear").iterdir())
    run(workplace / "ann.safetensors", "--data", image, "--out", out, "--figures", tmp_path / "figures")
    printed = capsys.readouterr().out
    assert printed.startswith("no label is known of 1 of 1 sample: explained for the predicted class\n")
    assert "grad-cam maps of 1 sample, 1 step, layers conv2" in printed
    ann = load_checkpoint(str(workplace / "ann.safetensors"))
    inputs = mean_spikes(ann.preprocessing.image(read_image(image))[None])
    with MapReader(out) as maps:
        assert maps.header == MapHeader("grad-cam", ann.network.sha256, {}, 1, (MapLayer("conv2", 2, (8, 12), 1),))
        assert maps.samples.label[0] == -1
        expected = grad_cam(DifferentiableNetwork(ann.network), inputs, maps.predictions, ["conv2"])[1]["conv2"]
        np.testing.assert_allclose(maps["conv2"][0], expected[0], rtol=1e-5, atol=1e-7)


def test_bad_usage_is_one_line(workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, out, data = workplace / "snn.safetensors", tmp_path / "maps.h5", ("--data", workplace / "data")
    for arguments, message in (
        (("none", "--out", out), "checkpoint 'none': neither a bundled one"),
        ((network, "--out", network, "--overwrite"), "is what the maps are to be made from; choose another --out"),
        ((network, "--out", out, *data, "--layers", "fc1"), "layer 'fc1' is dense"),
        ((workplace / "ann.safetensors", "--out", out, *data, "--layers", "input"), "no layer 'input'; did you mean"),
        ((network, "--out", out, *data, "--figures", tmp_path), "already exists; choose another --figures"),
        ((network, "--out", out, *data, "--figures", network / "new"), "is a file, expected the name of a folder"),
        ((network, "--out", out, "--seed", -1), "--seed"),
        ((network,), "missing --out"),
    ):
        run(*arguments, code=2)
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1
        assert not out.exists()
