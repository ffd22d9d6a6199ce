"""A session's own defaults and modes of torch change no network, no raster and no map."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch

import spikesam
from spikesam.pipeline.networks.defaults import usual_defaults
from tests.pipeline.imports.models import make
from tests.pipeline.small_networks import class_folders, small_ann, small_checkpoint
from tests.pipeline.training.configs import OF_IMAGES

MODES = {
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
}


@contextmanager
def session(kind: str) -> Iterator[None]:
    """With float64, a mode, or a device on which nothing can be computed: whatever is put there by
    mistake fails.
    """
    if kind == "float64":
        torch.set_default_dtype(torch.float64)
    elif kind == "a device":
        torch.set_default_device("meta")
    try:
        with MODES.get(kind, nullcontext)():
            yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


METHODS = {
    "grad-cam": "ann.safetensors",
    "snn-grad-cam": "snn.safetensors",
    "occlusion": "snn.safetensors",
    "integrated-gradients": "snn.safetensors",
}


def made(folder: Path) -> dict[str, object]:
    """Digests and values of what is computed with torch."""
    checkpoint = spikesam.load(str(folder / "snn.safetensors"))
    run = spikesam.simulate(
        checkpoint, folder / "images", samples=2, backend="torch", precision="float32"
    )
    found: dict[str, object] = {"run": run.raster_digest}
    for method, name in METHODS.items():
        maps = spikesam.explain(
            folder / name, method=method, data=str(folder / "images"), samples=2
        )
        found[method] = {name: maps[name].sum[:].tolist() for name in maps}
    trained = spikesam.train(folder / "config.toml", folder / "trained")
    with usual_defaults():
        image = torch.full((1, 3, 16, 24), 0.5)
    logits = spikesam.to_torch(checkpoint)(image)
    return found | {"trained": trained.network.sha256, "logits": logits.tolist()}


@pytest.mark.filterwarnings("ignore")
def test_networks_and_maps(tmp_path: Path) -> None:
    found = {}
    for kind in ("usual", "float64", "a device", *MODES):
        folder = tmp_path / kind
        small_ann(
            small_checkpoint(class_folders(folder / "images").parent / "snn.safetensors").with_name(
                "ann.safetensors"
            )
        )
        class_folders(folder / "data" / "train", per_class=16, size=20)
        (folder / "config.toml").write_text(
            f"{OF_IMAGES}epochs = 1\n".replace("epochs = 3\n", "").replace(
                "[data]", f'[data]\nsource = "{folder}/data"'
            )
        )
        with session(kind):
            found[kind] = made(folder)
    for kind in found:
        assert found[kind] == found["usual"], kind


@pytest.mark.parametrize("kind", ["float64", "a device", *MODES])
def test_imports_and_comparisons(kind: str) -> None:
    network, (model, example) = (
        spikesam.from_torch(*make("snntorch_tutorial")),
        make("snntorch_tutorial"),
    )
    expected = spikesam.compare(model, network, example, backends=("torch",))
    model, _ = make("snntorch_tutorial")
    with session(kind):
        assert spikesam.from_torch(model, example).sha256 == network.sha256
        found = (
            spikesam.compare(model, network, example, backends=("torch",))
            if kind in MODES
            else expected
        )
    assert str(found) == str(expected)
    assert (found.runs["differ"][0], found.runs["bits"][0]) == (0, expected.runs["bits"][0])


@pytest.mark.parametrize("kind", ["no gradients", "inference"])
def test_gradients_of_a_module(kind: str, tmp_path: Path) -> None:
    checkpoint = spikesam.load(str(small_checkpoint(tmp_path / "snn.safetensors")))
    with session(kind):
        model = spikesam.to_torch(checkpoint)
    image = torch.full((1, 3, 16, 24), 0.5, requires_grad=True)
    model(image)[0, 1].backward()
    assert image.grad is not None and image.grad.any()
