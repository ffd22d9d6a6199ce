"""Networks whose numbers leave float32 are refused in one line that names the layer, wherever they
come from.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikesam
from spikesam.backends.network import consistency
from spikesam.common.errors import InputError
from spikesam.pipeline import convert, explain, run
from spikesam.pipeline.networks.checkpoint import Checkpoint, load, save
from tests.layers import with_first
from tests.pipeline.imports.models import make
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint


def scaled(checkpoint: Checkpoint, factor: float, name: str) -> Checkpoint:
    """With the weights of one layer times a factor."""
    layers = tuple(
        with_first(layer, weight=layer.inputs[0].weight * np.float32(factor))
        if layer.name == name
        else layer
        for layer in checkpoint.network.layers
    )
    return replace(checkpoint, network=replace(checkpoint.network, layers=layers))


def test_a_file(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_checkpoint(tmp_path / "snn.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(consistency, "FLOAT_LIMIT", np.inf)  # as whoever wrote the file did without
        save(scaled(load(path), 1e38, "conv2"), path)
    images = class_folders(tmp_path / "images", per_class=1)
    command = ["--checkpoint", str(path), "--data", str(images), "--out", str(tmp_path / "out")]
    for precision in ("fixed", "float32"):
        line = refused(run.main, *command, "--precision", precision)
        assert line.startswith(
            f"error: {path}: layer 'conv2': what its numbers sum to over 8 steps could reach "
        )
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_library() -> None:
    model, example = make("snntorch_tutorial")
    model.get_parameter("0.weight").data.fill_(3e38)
    with pytest.raises(
        InputError,
        match=r"^from_torch: layer '.*': what its numbers sum to .* expected less than 1e",
    ):
        spikesam.from_torch(model, example)


def test_an_ann(tmp_path: Path, refused: Callable[..., str]) -> None:
    """What its layers reach depends on each other, and is seen where images go through it."""
    path = small_ann(tmp_path / "ann.safetensors")
    save(scaled(load(path), 1e38, "conv2"), path)
    for part in ("train", "val"):
        class_folders(tmp_path / "images" / part, per_class=2)
    source = ["--data", str(tmp_path / "images")]
    line = refused(explain.main, path, "--method", "grad-cam", *source, "--out", tmp_path / "a.h5")
    assert line.startswith("error: layer 'fc1': its sums leave float32 on these images")
    assert not (tmp_path / "a.h5").exists()
    steps = ["--conversion.timesteps", "12", "--conversion.calibration", "4"]
    line = refused(convert.main, path, *source, *steps, "--out", tmp_path / "out")
    assert line.startswith("error: layer 'conv2': what its numbers sum to")


def test_gradients(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = small_checkpoint(tmp_path / "snn.safetensors")
    checkpoint = load(path)
    tiny = tuple(
        replace(each, neuron=replace(each.neuron, threshold=1e-44))
        for each in checkpoint.network.layers
    )
    save(replace(checkpoint, network=replace(checkpoint.network, layers=tiny)), path)
    source = ["--data", str(class_folders(tmp_path / "images", per_class=1)), "--samples", "1"]
    line = refused(explain.main, path, "--method", "grad-cam", *source, "--out", tmp_path / "a.h5")
    assert line == "error: layer 'input': map of sample 0 is not finite, it leaves float32"
    assert not (tmp_path / "a.h5").exists()
