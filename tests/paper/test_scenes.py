"""Scenes of several objects, images pasted and mixed, and networks made wide enough to see them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from paper.common.images import ImageSet, prepare
from paper.common.scenes import (
    inverted,
    mosaics,
    paste,
    side_by_side,
    two_digit_scenes,
    widen,
    with_decoys,
)
from spikesam import (
    LIF,
    Checkpoint,
    Conv,
    Dense,
    InputError,
    Layer,
    Network,
    Preprocessing,
    Readout,
    load,
    quantise,
)
from spikesam.backends.network import ReLU
from spikesam.backends.torch.backend import TorchBackend
from spikesam.data import choose_samples
from spikesam.gradients import DifferentiableNetwork
from spikesam.simulators import unpack
from tests.paper.setups import image_set
from tests.pipeline.small_networks import small_checkpoint


def numbered(labels: list[int]) -> ImageSet:
    """2×3 images that hold their own number."""
    pixels = np.broadcast_to(
        np.arange(len(labels), dtype=np.float32)[:, None, None, None], (len(labels), 3, 2, 3)
    )
    preprocessing = Preprocessing(2, 3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    known = np.array(labels, np.int64)
    return ImageSet(
        "numbers",
        pixels.copy(),
        known,
        np.arange(len(labels)),
        (None,) * len(labels),
        preprocessing,
    )


def test_scenes_side_by_side_are_two_images_of_different_classes_each_used_once() -> None:
    images = numbered([0, 0, 1, 1, 2, 2, 2, -1])
    scenes = side_by_side(images, 3, seed=0)
    assert scenes.images.pixels.shape == (3, 3, 2, 6)
    left, right = (
        scenes.images.pixels[:, 0, 0, 0].astype(int),
        scenes.images.pixels[:, 0, 0, 3].astype(int),
    )
    np.testing.assert_array_equal(
        scenes.images.pixels[:, :, :, :3], left[:, None, None, None] + np.zeros((1, 3, 2, 3))
    )
    np.testing.assert_array_equal(
        scenes.images.pixels[:, :, :, 3:], right[:, None, None, None] + np.zeros((1, 3, 2, 3))
    )
    np.testing.assert_array_equal(
        scenes.labels, np.stack([images.labels[left], images.labels[right]], axis=1)
    )
    assert (scenes.labels[:, 0] != scenes.labels[:, 1]).all()
    assert (scenes.labels >= 0).all()
    assert len({*left, *right}) == 6
    again, other = (side_by_side(images, 3, seed).images.sha256 for seed in (0, 1))
    assert scenes.images.sha256 == again != other
    np.testing.assert_array_equal(scenes.images.labels, scenes.labels[:, 0])
    np.testing.assert_array_equal(
        np.stack(scenes.masks[0])[:, 0], [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]
    )


def test_exchanging_twice_is_where_one_began() -> None:
    scenes = side_by_side(numbered([0, 1, 2, 3]), 2, seed=0)
    once, twice = scenes.exchanged(), scenes.exchanged().exchanged()
    np.testing.assert_array_equal(once.images.pixels[..., :3], scenes.images.pixels[..., 3:])
    np.testing.assert_array_equal(once.labels, scenes.labels)
    np.testing.assert_array_equal(once.masks[0][0], scenes.masks[0][1])
    np.testing.assert_array_equal(twice.images.pixels, scenes.images.pixels)
    np.testing.assert_array_equal(twice.masks, scenes.masks)
    assert once.images.sha256 != scenes.images.sha256


def test_images_run_out_when_one_class_is_left() -> None:
    assert len(side_by_side(numbered([0, 0, 0, 0, 1]), 50, seed=0)) == 1


@pytest.mark.parametrize("labels", [[0, 0, 0], [0], [-1, -1], [0, -1]])
def test_one_class_is_not_enough(labels: list[int]) -> None:
    with pytest.raises(InputError) as refused:
        side_by_side(numbered(labels), 5, seed=0)
    assert str(refused.value) == (
        f"numbers: no two of {len(labels)} images are of different classes, which fig10 needs; "
        "raise paper.images or use data with more classes"
    )


def test_images_of_different_size_come_to_one_height(tmp_path: Path) -> None:
    for name, size in (("apple", (60, 30)), ("pear", (200, 150))):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", size, "red" if name == "apple" else "blue").save(
            tmp_path / "images" / name / "1.png"
        )
    checkpoint = load(str(small_checkpoint(tmp_path / "small.safetensors")))
    images = prepare(choose_samples(str(tmp_path / "images"), checkpoint, 2, seed=0))
    scenes = side_by_side(images, 1, seed=0)
    assert scenes.images.size == (16, 48)
    colours = scenes.images.picture(0)[[0, 0, 15, 15], [0, 23, 24, 47]]
    red, blue = [1, 0, 0], [0, 0, 1]
    expected = [red, red, blue, blue] if scenes.labels[0, 0] == 0 else [blue, blue, red, red]
    np.testing.assert_allclose(colours, expected, atol=1e-6)


def test_scenes_hold_two_digits_whose_classes_the_network_knows() -> None:
    checkpoint = load("cluttered-digits")
    scenes = two_digit_scenes(checkpoint, 12)
    assert scenes.images.pixels.shape == (12, 3, 80, 80)
    assert (scenes.labels[:, 0] != scenes.labels[:, 1]).all()
    objects = np.array(scenes.masks)
    assert objects.any(axis=(2, 3)).all()
    assert not objects.all(axis=1).any()  # no pixel belongs to both


def knowing(classes: int) -> Checkpoint:
    """The bundled network without the later digits."""
    whole = load("cluttered-digits")
    whole_readout = whole.network.readout
    readout = replace(
        whole_readout, weight=whole_readout.weight[:classes], bias=whole_readout.bias[:, :classes]
    )
    names = {"classes": whole.classes[:classes], "class_names": whole.class_names[:classes]}
    return replace(whole, network=replace(whole.network, readout=readout), **names)


def test_scenes_with_an_unknown_digit_are_left_out() -> None:
    few = two_digit_scenes(knowing(3), 100)
    assert 0 < len(few) < 20
    assert few.labels.max() <= 2
    with pytest.raises(
        InputError,
        match=r"^cluttered-digits/val-pairs: no scene of 10 has two digits that the check",
    ):
        two_digit_scenes(knowing(1), 10)


def test_mosaics():
    images = image_set(count=9, classes=5)
    mosaic = mosaics(images, 2, 2, seed=1)
    assert mosaic.images.size == (16, 24)
    for number in range(len(images)):
        assert mosaic.labels[number, 0] == mosaic.images.labels[number] == images.labels[number]
        assert len(set(mosaic.labels[number])) == 4
        canvas, cells = mosaic.images.pixels[number], set()
        for label, mask in zip(mosaic.labels[number], mosaic.masks[number], strict=True):
            for top in (0, 8):
                for left in (0, 12):
                    window = np.s_[top : top + 8, left : left + 12]
                    if mask[window].any():
                        source = next(
                            i
                            for i in range(9)
                            if (images.pixels[i] == canvas[:, window[0], window[1]]).all()
                        )
                        assert images.labels[source] == label
                        np.testing.assert_array_equal(images.masks[source], mask[window])
                        cells.add((top, left))
        assert len(cells) == 4
        np.testing.assert_array_equal(
            mosaic.images.masks[number], np.logical_or.reduce(mosaic.masks[number])
        )
    assert len({tuple(np.argwhere(masks[0])[0] // (8, 12)) for masks in mosaic.masks}) > 1


def test_asking_a_mosaic_about_a_class():
    images = image_set(count=9, classes=5)
    mosaic = mosaics(images, 1, 3, seed=1)
    asked = mosaic.about(mosaic.labels[:, 2])
    assert all(
        (own == masks[2]).all() for own, masks in zip(asked.masks, mosaic.masks, strict=True)
    )
    missing = [min(set(range(5)) - set(labels)) for labels in mosaic.labels]
    assert mosaic.about(np.array(missing)).masks == (None,) * 9
    np.testing.assert_array_equal(asked.pixels, mosaic.images.pixels)


def test_mosaics_of_unknown_objects():
    mosaic = mosaics(image_set(masks=False), 1, 2, seed=0)
    assert mosaic.images.masks == (None,) * 6
    assert mosaic.masks == ((None, None),) * 6


def find(canvas, pixels):
    """The only place at which an image lies in a canvas."""
    height, width = pixels.shape[1:]
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (height, width), axis=(1, 2))
    hits = np.argwhere((windows == pixels[:, None, None]).all(axis=(0, 3, 4)))
    assert len(hits) == 1
    return np.s_[hits[0][0] : hits[0][0] + height, hits[0][1] : hits[0][1] + width]


@pytest.mark.parametrize("fill", ["mean", "texture"])
def test_pasted_images_are_whole_and_masks_move_along(fill):
    images = image_set()
    pasted = paste(images, 16, 24, seed=3, fill=fill)
    assert pasted.size == (16, 24)
    for number in range(len(images)):
        window = find(pasted.pixels[number], images.pixels[number])
        np.testing.assert_array_equal(pasted.masks[number][window], images.masks[number])
        assert pasted.masks[number].sum() == images.masks[number].sum()
        outside = np.ones((16, 24), np.bool_)
        outside[window] = False
        assert pasted.pixels[number][:, outside].any() == (fill == "texture")


def test_places_are_spread_and_depend_on_the_seed():
    images = image_set(count=60)
    canvases = paste(images, 16, 24, 0).pixels
    tops = {find(canvas, own)[0].start for canvas, own in zip(canvases, images.pixels, strict=True)}
    assert tops == set(range(9))
    assert (
        paste(images, 16, 24, 0).sha256
        == paste(images, 16, 24, 0).sha256
        != paste(images, 16, 24, 1).sha256
    )


@pytest.mark.parametrize("size", [(16, 24), (15, 23)])
def test_no_object_is_at_the_centre(size):
    for mask in paste(image_set(count=60), *size, 0).masks:
        assert not mask[
            (size[0] - 1) // 2 : size[0] // 2 + 1, (size[1] - 1) // 2 : size[1] // 2 + 1
        ].any()


def test_an_object_that_fills_its_image_goes_into_a_corner():
    full = replace(image_set(count=20), masks=(np.ones((8, 12), np.bool_),) * 20)
    corners = {tuple(np.argwhere(mask)[0]) for mask in paste(full, 15, 22, 0).masks}
    assert corners == {(0, 0), (0, 10), (7, 0), (7, 10)}


def test_a_texture_has_the_spectrum_and_colours_of_an_image_but_not_its_shapes():
    images = image_set(count=2)
    canvas = paste(images, 16, 24, seed=0, fill="texture").pixels[0]
    source = images.pixels[1]
    outside = canvas[:, (canvas != 0).any(axis=0)]
    assert (outside.max(axis=1) <= np.maximum(source, images.pixels[0]).max(axis=(1, 2))).all()
    hits = (canvas[:, :-7, :-11, None] == source[:, 0, 0, None, None, None]).all(axis=0)
    assert not hits.any()


def test_a_canvas_of_the_same_size_is_the_image():
    images = image_set()
    np.testing.assert_array_equal(paste(images, 8, 12, 0, "texture").pixels, images.pixels)


def test_decoys_leave_the_object_alone_and_have_the_colours_of_others():
    images = image_set(count=8, height=20, width=20)
    decoys = with_decoys(images, count=3, side=4, seed=0)
    assert decoys.masks == images.masks
    for number in range(len(images)):
        changed = (decoys.pixels[number] != images.pixels[number]).any(axis=0)
        assert 3 <= changed.sum() <= 3 * 16
        assert not (changed & images.masks[number]).any()
        others = [images.pixels[i][:, images.masks[i]] for i in range(8) if i != number]
        colours = {tuple(colour) for colour in np.concatenate(others, axis=1).T}
        assert {tuple(colour) for colour in decoys.pixels[number][:, changed].T} <= colours


def test_where_there_is_no_room_there_are_no_decoys():
    images = image_set(count=2)
    full = replace(images, masks=(np.ones((8, 12), np.bool_), images.masks[1]))
    decoys = with_decoys(full, count=3, side=4, seed=0)
    np.testing.assert_array_equal(decoys.pixels[0], images.pixels[0])


def test_negatives():
    images = image_set()
    negatives = inverted(images)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.25, 0.2, 0.1])
    shown = images.pixels[0][:, 0, 0] * std + mean
    np.testing.assert_allclose(negatives.pixels[0][:, 0, 0] * std + mean, 1 - shown, rtol=1e-5)
    np.testing.assert_allclose(inverted(negatives).pixels, images.pixels, rtol=1e-4, atol=1e-5)


SHAPE = (2, 4, 6)


def network(dense: bool = True) -> Network:
    """Pointwise convolutions, which do not see the border, so that an even image stays even."""
    random = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return random.normal(0.1, 0.5, shape).astype(np.float32)

    layers = [
        Layer("conv1", weights(3, 2, 1, 1), LIF(leak=0.9, threshold=0.3)),
        Layer("conv2", Conv(weights(4, 3, 1, 1), pool=2), LIF(leak=0.9, threshold=0.2)),
    ]
    if dense:
        layers.append(Layer("fc1", weights(5, 4 * 1 * 3 * 2), LIF(leak=0.9, threshold=0.2)))
    return Network(SHAPE, 12, tuple(layers), Readout(weights(3, 5 if dense else 4 * 2 * 3)))


def run(network: Network, inputs: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    (batch,) = TorchBackend("cpu").run(network, [inputs], inputs.shape[1])
    shapes = dict(zip(network.raster_names, network.raster_shapes, strict=True))
    return {
        name: unpack(packed, shapes[name]) for name, packed in batch.spikes.items()
    }, batch.readout


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (3, 1), (2, 2)])
def test_an_even_image_is_the_same_at_any_size(dense: bool, rows: int, columns: int) -> None:
    own = network(dense)
    wide = widen(own, 4 * rows, 6 * columns)
    channels = (
        np.random.default_rng(1).random((12, 1, 2, 1, 1)) < 0.6
    )  # a colour at each step, the same everywhere
    inputs = np.broadcast_to(channels, (12, 1, *SHAPE))
    spikes, readout = run(own, inputs)
    wide_spikes, wide_readout = run(wide, np.tile(inputs, (1, 1, 1, rows, columns)))
    assert spikes["conv2"].any()
    np.testing.assert_allclose(wide_readout, readout, rtol=1e-4)
    if dense:
        np.testing.assert_array_equal(wide_spikes["fc1"], spikes["fc1"])


def test_cells_of_a_block_share_the_weight_of_the_cell_they_stand_for() -> None:
    own = Network(
        (1, 1, 2), 3, (Layer("fc1", np.array([[4.0, 8.0]]), LIF(leak=1)),), Readout(np.ones((1, 1)))
    )
    wide = widen(own, 2, 4)
    np.testing.assert_array_equal(wide.layers[0].inputs[0].weight, [[1, 1, 2, 2, 1, 1, 2, 2]])
    assert wide.shapes == ((1, 2, 4), (1, 1, 1))
    assert wide.readout is own.readout


def test_an_ann_sees_the_same_in_an_image_enlarged_by_repetition() -> None:
    """Its convolution sees single pixels, so that repeating them changes no mean of the pooling
    behind it.
    """
    random = np.random.default_rng(0)
    layers = (
        Layer("conv1", random.normal(size=(3, 2, 1, 1)), ReLU()),
        Layer("fc1", Dense(random.normal(size=(5, 18)), pool=2), ReLU()),
    )
    ann = Network(SHAPE, 1, layers, Readout(random.normal(size=(3, 5))), "image")
    images = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    wide = DifferentiableNetwork(widen(ann, 8, 18))
    enlarged = images.repeat_interleave(2, 2).repeat_interleave(3, 3)
    torch.testing.assert_close(wide(enlarged)[0], DifferentiableNetwork(ann)(images)[0])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            lambda: mosaics(image_set(), 2, 2, 0),
            "side by side: got images of 3 known classes, expected at least 4",
        ),
        (
            lambda: paste(image_set(), 7, 24, 0),
            "paste: got a canvas of 7×24, expected at least the images' 8×12",
        ),
        *(
            (
                lambda masks=masks, side=side: with_decoys(image_set(masks=masks), 1, side, 0),
                ".*expected at least 2 o",
            )
            for masks, side in ((False, 3), (True, 9))
        ),
        *(
            (
                lambda size=size: widen(network(), *size),
                f"widen: got {size[0]}×{size[1]}, expected multiples of .*4×6$",
            )
            for size in ((5, 6), (4, 9), (2, 6), (0, 6), (4, 0))
        ),
        (
            lambda: widen(quantise(network()), 8, 12),
            "widen: got a network in fixed point, expected float32; widen it",
        ),
    ],
)
def test_what_does_not_fit_is_refused(asked: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        asked()
