"""Layers of tokens become maps of the picture's places; what nobody knows is refused, with the
words that help.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from tests.pipeline.imports.models import Written, fires
from tests.pipeline.record.hand_written import Fire, run
from tests.pipeline.record.transformers import (
    SSA,
    Model,
    MS_SSA_Conv,
    Spiking_Self_Attention,
    Token_QK_Attention,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch.jit, which it uses
    functional = pytest.importorskip("spikingjelly.activation_based.functional")

T, B = 3, 2
PLACES = (2, 3)


def record(model: nn.Module, out: Path, inputs: Tensor, **options: Any) -> spikesam.RasterReader:
    """One batch, from rest."""
    functional.reset_net(model)
    return run(model, out, inputs, **options)


@pytest.mark.parametrize(
    "attention", [SSA, Spiking_Self_Attention, Token_QK_Attention, MS_SSA_Conv]
)
def test_known_attention_is_recorded_as_the_code_after_it_reads_it(
    tmp_path: Path, attention: type[nn.Module]
) -> None:
    model = Model(attention)
    raster = record(model, tmp_path, torch.rand(T, B, 1, 4, 6))
    assert raster["lif"].spec.shape == (8, *PLACES)
    for neurons, spikes in model.attn.expected.items():
        recorded = raster[f"attn_{neurons}"][:]  # (T, B, C, H, W)
        assert 0 < recorded.mean() < 1, neurons
        assert recorded.shape[3:] == (PLACES if spikes.shape[3] > 1 else (1, 1))
        assert np.array_equal(recorded.reshape(spikes.shape), spikes.bool().numpy()), neurons
    axes = json.loads(raster.header.config)["axes"]
    assert set(axes) == {f"attn_{neurons}" for neurons in model.attn.expected}


MODELS = {
    "Spikformer": (
        "spikformer",
        {"img_size_h": 16, "img_size_w": 32, "patch_size": 4, "embed_dims": 16, "depths": 1},
    ),
    "QKFormer": ("qkformer", {"embed_dims": 32, "num_heads": (2, 2, 2), "depths": (1, 1, 1)}),
    "MaxFormer": ("maxformer", {"embed_dims": 64, "depths": (1, 1, 1), "cifar": True}),
    "SpikeDrivenTransformer": (
        "spike_driven_transformer",
        {"embed_dims": 32, "num_heads": 4, "depths": 1},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_spikingjellys_transformers_have_maps_of_the_picture(tmp_path: Path, name: str) -> None:
    file, options = MODELS[name]
    module = pytest.importorskip(f"spikingjelly.activation_based.model.{file}")
    if name == "Spikformer":
        options = {"num_heads": 4, **options}
    model = getattr(module, name)(T=2, in_channels=1, num_classes=4, **options).eval()
    sides = (16, 32) if name == "Spikformer" else (32, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "record: nothing fires")  # random weights
        raster = record(model, tmp_path, torch.rand(1, 1, *sides))
    maps = {layer.name: layer.shape for layer in raster.layers if layer.shape[1:] != (1, 1)}
    assert all(2 * rows == columns for _, rows, columns in maps.values()), maps  # as the picture
    assert len(raster.layers) - len(maps) <= 2, "only sums over all places have none"


class Bright(nn.Module):
    """Fires where a map of 4 × 6 is bright; each layer brings its tokens in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fire = nn.Conv2d(1, 4, 1, bias=False), Fire()
        self.linear, self.tokens, self.heads = nn.Linear(4, 4, bias=False), Fire(), Fire()
        self.eval().requires_grad_(False)
        self.conv.weight.fill_(1)
        self.linear.weight.copy_(torch.eye(4))

    def forward(self, image: Tensor) -> Tensor:
        first = self.fire(self.conv(image) * 0.9)
        tokens = self.tokens(self.linear(first.flatten(2).transpose(1, 2)) * 0.9)
        return self.heads(tokens.unflatten(2, (2, 2)).transpose(1, 2) * 0.9).flatten(1)


LAYERS = ["fire", "tokens", "heads"]
AXES = {"tokens": "B N C", "heads": "B heads N d"}


@pytest.mark.parametrize("place", [(0, 0), (0, 5), (3, 0), (2, 4)])
def test_the_place_of_an_object_is_its_place_in_every_layer(
    tmp_path: Path, place: tuple[int, int]
) -> None:
    image = torch.zeros(1, 1, 4, 6)
    image[0, 0, place[0], place[1]] = 1
    model = Bright()
    raster = run(model, tmp_path, image, layers=LAYERS, axes=AXES)
    maps = spikesam.explain(raster, out=tmp_path / "maps.h5")
    for layer in raster:
        assert raster[layer][0].nonzero()[2].tolist() == [place[0]] * 4
        assert np.unravel_index(maps[layer].sum[0].argmax(), (4, 6)) == place


@pytest.mark.parametrize(
    "axes", [{"*s": "B N C", "h*": "B heads N d"}, {"heads": "B heads N d", "*": "B N C"}]
)
def test_patterns_name_several_modules_and_the_first_counts(
    tmp_path: Path, axes: dict[str, str]
) -> None:
    model, image = Bright(), torch.rand(1, 1, 4, 6)
    options: dict[str, Any] = {"layers": ["tokens", "heads"], "axes": axes, "grid": (4, 6)}
    if "*s" in axes:  # which "heads" fits, too
        with pytest.raises(
            spikesam.InputError, match=r"layer 'heads': got shape \(1, 2, 24, 2\), expected 3 axes"
        ):
            record(model, tmp_path, image, **options)
        return
    raster = record(model, tmp_path, image, **options)
    assert [layer.shape for layer in raster.layers] == [(4, 4, 6), (4, 4, 6)]


def test_grids_by_layer_and_taps(tmp_path: Path) -> None:
    model, image = Bright(), torch.rand(1, 1, 4, 6)
    grids = {"tokens": (6, 4), "heads": (3, 8)}
    with spikesam.record(model, tmp_path, LAYERS, axes=AXES, grid=grids) as recording:
        model(image)
        recording.tap("values", torch.ones(1, 2, 24), layout="B d N")
        recording.finish()
    shapes = {layer.name: layer.shape for layer in recording.raster.layers}
    assert shapes == {
        "fire": (4, 4, 6),
        "tokens": (4, 6, 4),
        "heads": (4, 3, 8),
        "values": (2, 3, 8),
    }  # the last map's


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"layer 'tokens': got a step of shape \(1, 24, 4\), which no convolution made; name "
             r"its axes, such as "
             r"axes=\{'tokens': 'B N C'\}: T steps, .*, N tokens of a grid"),
        ({"axes": {"tokens": "B N C"}}, r"layer 'heads': got a step of shape \(1, 2, 24, 2\), .*, "
                                        r"such as axes="
             r"\{'heads': 'B heads N d'\}, or 'B C H W' if it is a map"),
        ({"axes": AXES, "grid": (5, 5)}, "layer 'tokens': got 24 tokens, expected 5 × 5 = 25 of "
                                         "grid=; say how many"),
        ({"axes": {**AXES, "tokens": "B C N"}}, "layer 'tokens': got 4 tokens, expected as many as "
                                                "places in a map"),
        ({"axes": {**AXES, "tokens": "T B N C"}}, r"layer 'tokens': got shape \(1, 24, 4\), "
                                                  r"expected 4 axes, 'T B N"),
        ({"axes": {"tokn": "B N C"}}, "axes: no module 'tokn' in Bright; did you mean tokens"),
        ({"grid": {"blocks.*": (2, 2)}}, r"grid: no module 'blocks\.\*' in Bright; did you mean "
                                         r"conv or"),
        ({"axes": {"tokens": "N C"}}, "axes: got 'N C', expected a name for each axis"),
        ({"axes": ["B N C"]}, "record: axes is of type list, expected names of modules, or "
                              "patterns"),
        ({"grid": (4, 0)}, r"grid: got \(4, 0\), expected rows and columns, such as \(8, 8\)"),
        ({"grid": 8}, "record: grid is 8, expected rows and columns"),
        ({"grid": {"tokens": "44"}}, "grid: got '44', expected rows and columns"),
    ],
)  # fmt: skip
def test_what_is_not_known_or_does_not_fit_is_one_line(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(spikesam.InputError, match=f"^{message}") as caught:
        record(
            Bright(),
            tmp_path / "new",
            torch.rand(1, 1, 4, 6),
            layers=LAYERS,
            layout="B...",
            **options,
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def rows(m: Any, image: Tensor) -> Tensor:
    return m.fire2(m.row(m.fire1(m.conv(image)).flatten(2) if image.ndim == 4 else image))


def test_a_row_that_may_be_tokens_of_a_map_is_asked_for(tmp_path: Path) -> None:
    message = (
        r"layer 'fire2': got a step of shape \(1, 4, 6\), which may be 2 × 3 tokens; "
        r".*'fire2': 'B C N'"
    )
    layers, image = ["fire1", "fire2"], torch.rand(1, 1, 2, 3)
    fire, synapses = (
        {name: Fire() for name in layers},
        {"conv": nn.Conv2d(1, 4, 1), "row": nn.Conv1d(4, 4, 1)},
    )
    model = Written(
        rows, **synapses, **fire
    ).eval()  # a map whose places become a row for a convolution, or a row
    with pytest.raises(spikesam.InputError, match=message):
        record(model, tmp_path, image, layers=layers, layout="B...")
    raster = record(model, tmp_path, image, layers=layers, axes={"fire2": "B C N"})
    assert raster["fire2"].spec.shape == (4, 2, 3)
    raster = record(model, tmp_path, torch.rand(1, 4, 6), layers=["fire2"], layout="B...")
    assert raster["fire2"].spec.shape == (4, 1, 6)


def test_a_moved_object_moves_every_layer_of_spikformer(tmp_path: Path) -> None:
    """Of 12 × 16 tokens, two rows down and five columns to the right."""
    module = pytest.importorskip("spikingjelly.activation_based.model.spikformer")
    torch.manual_seed(2)
    model = module.Spikformer(
        2, 1, 48, 64, patch_size=4, num_classes=4, embed_dims=16, num_heads=2, depths=1
    ).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=3 / weight[0].numel() ** 0.5)
    for part in model.modules():
        if hasattr(part, "v_threshold"):
            part.v_threshold = 0.2  # so that all layers fire
    pictures = torch.zeros(2, 1, 48, 64)
    pictures[0, :, 16:24, 20:28] = pictures[1, :, 24:32, 40:48] = torch.rand(8, 8)
    with (
        record(model, tmp_path, pictures) as raster,
        spikesam.explain(raster, out=tmp_path / "maps.h5") as maps,
    ):
        assert (
            sum(layer.shape[1:] == (12, 16) for layer in raster.layers) == 7
        )  # two of convolutions, five of tokens
        for layer in raster:
            first, moved = raster[layer][:].swapaxes(0, 1)
            assert first.any(), layer
            scale = 48 // first.shape[-2]  # pixels a place
            shift = (8 // scale, 20 // scale)
            assert (np.roll(first, shift, (-2, -1)) == moved).mean() > 0.999, layer
            before, after = maps[layer].sum[0], maps[layer].sum[1]
            assert (
                np.corrcoef(np.roll(before, shift, (0, 1)).ravel(), after.ravel())[0, 1] > 0.999
            ), layer
            centre = (
                scale * (np.argwhere(before >= 0) + 0.5).T @ before.ravel() / before.sum()
            )  # in pixels
            assert np.abs(centre - (20, 24)).max() < 4, layer  # of the object


@pytest.mark.parametrize(
    ("between", "sides", "shape"),
    [
        (lambda: [fires(1.0), nn.AdaptiveAvgPool2d(1)], (16, 8), (4, 1, 1)),
        (lambda: [nn.MaxPool2d(2)], (7, 9), (4, 3, 4)),  # which loses a row and a column
        (lambda: [nn.MaxPool2d(3, 2)], (32, 16), (4, 15, 7)),
        (lambda: [nn.PixelShuffle(2)], (6, 8), (1, 12, 16)),
        (lambda: [nn.Upsample(scale_factor=2)], (7, 9), (4, 14, 18)),
        (lambda: [nn.ConvTranspose2d(4, 2, 2, 2)], (6, 8), (2, 12, 16)),
        (lambda: [Written(lambda _, maps: torch.cat([maps, maps[:, :2]], 1))], (7, 9), (6, 7, 9)),
    ],
    ids=["to a pixel", "odd sides", "overlapping", "shuffled", "enlarged", "transposed", "joined"],
)
@pytest.mark.parametrize("encoder", [False, True])
def test_maps_of_convolutions_need_no_word(
    tmp_path: Path, between: Any, sides: tuple[int, int], shape: tuple[int, int, int], encoder: bool
) -> None:
    layers = [*[fires(1.0)] * encoder, nn.Conv2d(1, 4, 3, padding=1), *between(), fires(1.0)]
    raster = run(nn.Sequential(*layers).eval(), tmp_path, *torch.rand(3, 2, 1, *sides))
    assert (raster.timesteps, raster.layers[-1].shape) == (3, shape)
