"""An ANN for a larger image."""

from __future__ import annotations

import pytest
import torch

from pipeline.networks.ann import ReluNetwork
from pipeline.networks.widen_ann import widen_ann
from recordings.errors import InputError


@pytest.fixture
def model():
    """Whose convolution looks at single pixels, so that enlarging an image by repetition changes no mean."""
    torch.manual_seed(0)
    model = ReluNetwork((3, "P4", "D5"), 3, 8, 16, 2).eval()
    with torch.no_grad():
        model.synapses[0].weight[..., torch.arange(3) != 1] = 0
        model.synapses[0].weight[..., torch.arange(3) != 1, :] = 0
    return model


def test_an_image_enlarged_by_repetition_means_the_same(model):
    images = torch.randn(4, 3, 8, 16)
    wide = widen_ann(model, 16, 48)
    assert wide.input_shape == (3, 16, 48)
    enlarged = images.repeat_interleave(2, 2).repeat_interleave(3, 3)
    torch.testing.assert_close(wide(enlarged), model(images))


def test_its_own_size_is_itself(model):
    assert widen_ann(model, 8, 16) is model


@pytest.mark.parametrize("size", [(8, 24), (0, 16), (4, 16)])
def test_only_multiples(model, size):
    with pytest.raises(InputError, match="expected multiples of the ANN's own input of 8×16"):
        widen_ann(model, *size)
