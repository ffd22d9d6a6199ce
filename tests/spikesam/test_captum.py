"""captum's conventions give the maps of a recording, in captum's shapes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("captum")
snn = pytest.importorskip("snntorch")
utils = pytest.importorskip("snntorch.utils")

import spikesam  # noqa: E402
from spikesam.captum import SAM  # noqa: E402

STEPS = 9


class Small(torch.nn.Module):
    """A convolution and a dense layer, for all steps in one call; `brighter` is added to the
    images.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = torch.nn.Conv2d(1, 3, 3), snn.Leaky(0.8, init_hidden=True)
        self.fc, self.lif2 = torch.nn.Linear(3 * 4 * 6, 2), snn.Leaky(0.8, init_hidden=True)

    def forward(self, images: Any, brighter: Any = 0.0) -> Any:
        utils.reset(self)
        steps = [
            self.lif2(self.fc(self.lif1(self.conv(images + brighter)).flatten(1)))
            for _ in range(STEPS)
        ]
        return torch.stack(steps).sum(0)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def images() -> Any:
    return 4 * torch.rand(5, 1, 6, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [{}, {"gamma": 0.1, "variant": "authors-code"}])
def test_it_is_the_map_of_a_recording(
    model: Any, images: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    found = SAM(model, model.lif1).attribute(images, **options)
    assert (found.shape, found.dtype) == ((5, 1, 4, 6), torch.float32)
    with torch.no_grad(), spikesam.record(model, tmp_path) as recording:
        recording.finish(model(images))
    maps = spikesam.explain(recording.raster, **options)
    np.testing.assert_array_equal(found[:, 0], maps["lif1"].sum[:])
    assert found.max() > 0


def test_a_pixel_by_hand() -> None:
    """A neuron that fires at each of 3 steps: 1 + (1 + e^-γ) + (1 + e^-γ + e^-2γ)."""
    lif = snn.Leaky(0.5, threshold=0.1, reset_mechanism="zero", reset_delay=False, init_hidden=True)

    class One(torch.nn.Sequential):
        def forward(self, x: Any) -> Any:
            utils.reset(self)
            return torch.stack([super(One, self).forward(x) for _ in range(3)])

    model = One(torch.nn.Conv2d(1, 1, 1, bias=False), lif).eval()
    torch.nn.init.ones_(model[0].weight)
    found = SAM(model, lif).attribute(torch.tensor([[[[1.0, 0.0]]]]), gamma=0.5)
    e = np.exp(-0.5)
    assert found.flatten().tolist() == pytest.approx([3 + 2 * e + e**2, 0], rel=1e-6)


def test_further_arguments_and_several_inputs(model: Any, images: Any) -> None:
    explainer = SAM(model, model.lif1)
    expected = explainer.attribute(images + 1)
    assert torch.equal(explainer.attribute(images, additional_forward_args=1.0), expected)
    assert torch.equal(explainer.attribute((images, torch.ones(1))), expected)
    assert SAM.interpolate(expected, (6, 8)).shape == (5, 1, 6, 8)


def test_what_is_no_spiking_map_is_refused(model: Any, images: Any) -> None:
    with pytest.raises(spikesam.InputError, match="^SAM: Linear is no module within Small$"):
        SAM(model, torch.nn.Linear(1, 1))
    with pytest.raises(spikesam.InputError, match="^SAM: Small is no module within Small$"):
        SAM(model, model)
    with pytest.raises(spikesam.InputError, match="layer"):
        SAM(model, model.conv).attribute(images)
    assert SAM(model, model.lif2).attribute(images).shape == (
        len(images),
        1,
        2,
        1,
    )  # a row for each neuron
    model.train()
    try:
        with pytest.raises(spikesam.InputError, match="is in training mode"):
            SAM(model, model.lif1).attribute(images)
    finally:
        model.eval()


def test_a_layer_of_tokens() -> None:
    class Fire(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return (x > 0).float()

    model = torch.nn.Sequential(Fire()).eval()
    found = SAM(model, model[0]).attribute(torch.ones(3, 2, 6, 4), axes="T B N C", grid=(2, 3))
    assert found.shape == (2, 1, 2, 3) and found.min() > 0
