"""Attributions of the input: by hand on a network that is linear where it matters, and as files of
maps.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch

from spikesam.backends.network import LIF, Layer, Network, NetworkError, Readout
from spikesam.pipeline.explain import main
from spikesam.pipeline.maps.methods.gradients import GradientTimesInput, integrated_gradients
from spikesam.pipeline.maps.methods.perturbation import (
    OcclusionMaps,
    answers_of,
    random_masks,
    rise,
)
from spikesam.pipeline.networks.checkpoint import load
from spikesam.pipeline.networks.differentiable import DifferentiableNetwork, to_torch
from spikesam.pipeline.networks.samples import choose_samples
from spikesam.pipeline.training.trainable import export_network
from spikesam.recordings.maps.reader import MapReader
from tests.pipeline.small_networks import (
    class_folders,
    constant_current_checkpoint,
    small_ann_model,
    small_checkpoint,
    small_model,
)
from tests.reference import simulate_reference

gradient_x_input, occlusion = GradientTimesInput().attributed, OcclusionMaps().attributed


def pixelwise(height: int = 1, width: int = 4) -> Network:
    """Every pixel to a neuron of its own, weight 1 and threshold 0.9; the left half speaks for
    class 0. T = 3.
    """
    left = np.zeros((height, width))
    left[:, : width // 2] = 1
    readout = np.stack([left.ravel(), 1 - left.ravel()])
    layer = Layer("conv1", np.ones((1, 1, 1, 1)), LIF(0.0, threshold=0.9))
    return Network((1, height, width), 3, (layer,), Readout(readout), encoder="spikes")


def one_step(pixels: list[list[int]]) -> Any:
    """(3, 1, 1, H, W): spikes at the first step alone."""
    spikes = np.zeros((3, 1, 1, *np.shape(pixels)), bool)
    spikes[0, 0, 0] = pixels
    return spikes


def test_gradient_x_input_by_hand() -> None:
    """Spikes at pixels 0, 1 and 3: class 0 by 2 to 1. ∂s/∂v = 0.3 (1 - |1/0.9 - 1|) / 0.9; a spike
    adds 1/3.
    """
    network = DifferentiableNetwork(pixelwise())
    predictions, maps = gradient_x_input(network, one_step([[1, 1, 0, 1]]))
    assert predictions.tolist() == [0]
    expected = 0.3 * (1 - abs(1 / 0.9 - 1)) / 0.9 / 3
    np.testing.assert_allclose(maps[0], [[expected, expected, 0, 0]], rtol=1e-5)


def test_integrated_gradients_by_hand() -> None:
    """The integral of the surrogate, a triangle over the threshold, while the pixel's v = α rises
    from 0 to 1.
    """
    alphas = np.linspace(0, 1, 200_001)
    integral = np.trapezoid(0.3 * np.maximum(0, 1 - np.abs(alphas / 0.9 - 1)) / 0.9, alphas) / 3
    _, maps = integrated_gradients(
        DifferentiableNetwork(pixelwise()), one_step([[1, 1, 0, 1]]), points=64
    )
    np.testing.assert_allclose(maps[0], [[integral, integral, 0, 0]], rtol=2e-3)


def test_occlusion_by_hand() -> None:
    """Squares of 1 pixel: without pixel 0 or 1 the logit is 1/3 lower;
    the others do not change it.
    """
    predictions, maps = occlusion(DifferentiableNetwork(pixelwise()), one_step([[1, 1, 0, 1]]))
    assert predictions.tolist() == [0]
    np.testing.assert_allclose(maps[0], [[1 / 3, 1 / 3, 0, 0]], rtol=1e-6)


def test_rise_finds_what_the_answer_needs() -> None:
    """All pixels fire; those of the left half speak for class 0, and a little louder than the
    others for class 1.
    """
    network = pixelwise(14, 14)
    network = replace(network, readout=Readout(network.readout.weight * [[1.2], [1]]))
    spikes = np.zeros((3, 1, 1, 14, 14), bool)
    spikes[0] = True
    predictions, maps = rise(network, spikes, seed=0, masks=128)
    assert predictions.tolist() == [0] and maps.shape == (1, 14, 14)
    assert maps[0, :, :7].mean() > 1.1 * maps[0, :, 7:].mean()
    np.testing.assert_array_equal(maps, rise(network, spikes, seed=0, masks=128)[1])
    assert (maps != rise(network, spikes, seed=1, masks=128)[1]).any()


def test_masks_leave_half_of_the_image_visible() -> None:
    masks = random_masks(400, (13, 20), 3)
    assert masks.shape == (400, 13, 20) and masks.min() == 0 and masks.max() == 1
    assert abs(masks.mean(axis=0) - 0.5).max() < 0.1


def test_answers_are_the_logits_of_the_equations() -> None:
    network = export_network(small_model())
    spikes = np.random.default_rng(0).random((8, 18, 6, 16, 24)) < 0.4
    expected = simulate_reference(network, spikes[:, :2])[1] / 8
    np.testing.assert_allclose(answers_of(network)(spikes)[:2], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(NetworkError, match="got an ANN, which does not spike"):
        answers_of(export_network(small_ann_model()))


@pytest.mark.parametrize(
    "method", ["gradient-x-input", "integrated-gradients", "occlusion", "rise"]
)
def test_a_constant_current_is_attributed_too(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = class_folders(tmp_path / "data", per_class=1), tmp_path / "maps.h5"
    network = constant_current_checkpoint(tmp_path / "snn.safetensors")
    main(
        [
            str(each)
            for each in (network, "--method", method, "--data", data, "--seed", 3, "--out", out)
        ]
    )
    assert (
        f"{method} maps of 3 samples, 1 step, layers input (sums alone)" in capsys.readouterr().out
    )
    with MapReader(out) as maps:
        assert (maps.header.source, maps.header.parameters) == (
            load(network).network.sha256,
            {"seed": 3},
        )
        assert maps["input"].sum.shape == (3, 16, 24) and maps["input"].sum.any(axis=(1, 2)).all()
        assert set(maps.predictions.tolist()) <= {0, 1, 2}


def test_the_class_is_the_predicted_one(tmp_path: Path) -> None:
    network = DifferentiableNetwork(export_network(small_model()))
    spikes = np.random.default_rng(0).random((8, 3, 6, 16, 24)) < 0.4
    with torch.no_grad():
        predicted = network(torch.from_numpy(spikes).float())[0].argmax(1).tolist()
    for method in (gradient_x_input, integrated_gradients, occlusion):
        predictions, maps = method(network, spikes)
        assert predictions.tolist() == predicted
        for image in range(3):  # whatever it is batched with
            np.testing.assert_allclose(
                method(network, spikes[:, [image]])[1][0], maps[image], rtol=1e-3, atol=1e-5
            )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Saliency", {}),
        ("IntegratedGradients", {"internal_batch_size": 1}),
        ("FeatureAblation", {"feature_mask": None}),
    ],
)
def test_captum_gives_what_captum_gives(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Over the module of `to_torch`, image by image; squares of a fifth of the 16 rows are 3 pixels
    wide.
    """
    data, network = (
        class_folders(tmp_path / "data", per_class=1),
        small_checkpoint(tmp_path / "small.safetensors"),
    )
    out = tmp_path / "maps.h5"
    main(
        [
            str(each)
            for each in (
                network,
                "--method",
                f"captum:{name}",
                "--data",
                data,
                "--seed",
                3,
                "--out",
                out,
            )
        ]
    )
    checkpoint = load(network)
    model, images = (
        to_torch(checkpoint, seed=3),
        choose_samples((str(data),), checkpoint, 8, 3).images(),
    )
    if "feature_mask" in options:
        rows, columns = torch.arange(16) // 3, torch.arange(24) // 3
        options = {"feature_mask": (8 * rows[:, None] + columns)[None, None]}
    with MapReader(out) as maps:
        assert maps.header.parameters == {"attribution": name, "seed": 3}
        for number, image in enumerate(torch.from_numpy(images)[:, None]):
            target = model(image).argmax(1)
            found = getattr(captum.attr, name)(model).attribute(
                image.requires_grad_(), target=target, **options
            )
            expected = found.detach().sum(1).clamp(min=0)[0].numpy()
            assert maps.predictions[number] == target and expected.any()
            np.testing.assert_allclose(maps["input"].sum[number], expected, rtol=1e-5, atol=1e-7)
