"""Networks that take events, grey images, or spikes alone: simulated from whatever a user has,
kept, and refused.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import spikesam
from spikesam.pipeline.networks.samples import choose_samples
from tests.layers import two_layers
from tests.pipeline.small_events import nmnist_file
from tests.pipeline.small_networks import class_folders

BINNING = spikesam.EventBinning(height=8, width=6, bins=4, window_us=100)


def checkpoint(planes: int, encoder: str, preparation: object) -> spikesam.Checkpoint:
    return spikesam.Checkpoint(
        two_layers(planes, encoder), preparation, ("left", "right"), ("LEFT", "RIGHT")
    )


@pytest.fixture
def for_events() -> spikesam.Checkpoint:
    return checkpoint(2, "spikes", BINNING)


def recording(seed: int, count: int = 60) -> spikesam.Events:
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, 390, count))
    x, y = random.integers(0, 6, count), random.integers(0, 8, count)
    return spikesam.Events(t, x, y, random.integers(0, 2, count), (8, 6))


def test_events_are_binned_and_silence_follows(for_events: spikesam.Checkpoint) -> None:
    events = recording(0)
    raster = spikesam.simulate(for_events, events, backend="event")
    bits = BINNING.binned(events).bits
    assert np.array_equal(raster["input"][0], np.concatenate([bits, np.zeros((2, 2, 8, 6), bool)]))
    several = spikesam.simulate(for_events, [events, recording(1)], labels=[1, 0], backend="torch")
    assert several.samples.label.tolist() == [1, 0]
    assert np.array_equal(several["conv1"][0], raster["conv1"][0])
    assert several["conv1"].counts.sum() > 0
    binned = np.stack([BINNING.binned(recording(seed)).bits for seed in (0, 1)], axis=1)
    plain = spikesam.simulate(for_events.network, binned, labels=[1, 0], backend="event")
    assert plain.raster_digest == several.raster_digest


def test_class_folders_and_files_of_events(for_events: spikesam.Checkpoint, tmp_path: Path) -> None:
    for label, name in enumerate(("left", "right", "up")):
        for number in range(2):
            nmnist_file(
                tmp_path / "set" / name / f"{number}.bin", recording(10 * label + number), (14, 13)
            )
    with pytest.warns(UserWarning, match="^simulate: ") as said:
        raster = spikesam.simulate(for_events, tmp_path / "set", samples=5, backend="event")
    skipped = "skipped 2 recordings of classes that the checkpoint does not know"
    fewer = f"{raster.header.dataset} has 4 recordings of these classes, fewer than 5"
    assert [str(each.message) for each in said] == [f"simulate: {skipped}", f"simulate: {fewer}"]
    assert sorted(raster.samples.label.tolist()) == [
        0,
        0,
        1,
        1,
    ]  # "up" is no class of the checkpoint
    files = sorted((tmp_path / "set" / "right").iterdir())
    loose = spikesam.simulate(for_events, files, backend="event")
    assert loose.samples.label.tolist() == [-1, -1]
    # The files' sensor is 34×34, and the network sees its middle in blocks of 4×4 pixels.
    assert loose["input"].counts.sum() > 0
    samples = choose_samples(str(tmp_path / "set"), for_events, 4, seed=0)
    assert samples.notes(4) == [skipped]
    assert samples.binned.startswith("240 events became ")
    assert samples.counts.sum(axis=1).tolist() == [60] * 4
    assert (
        np.unpackbits(samples.bits, axis=2).sum(axis=(1, 2)).tolist()
        == samples.counts[:, 0].tolist()
    )
    assert samples.pictures.shape == (4, 8, 6, 3)


def test_checkpoints_of_every_input_are_kept(tmp_path: Path) -> None:
    grey = spikesam.Preprocessing(8, 6, (0.5,), (0.25,))
    for number, (planes, encoder, preparation) in enumerate(
        [
            (2, "spikes", BINNING),
            (2, "spikes", replace(BINNING, window_us=None, by="count")),
            (7, "spikes", None),
            (2, "poisson", grey),
            (1, "constant-current", grey),
            (6, "poisson", spikesam.Preprocessing(8, 6, (0.5,) * 3, (0.25,) * 3)),
        ]
    ):
        made = checkpoint(planes, encoder, preparation)
        spikesam.save(made, tmp_path / f"{number}.safetensors")
        found = spikesam.load(tmp_path / f"{number}.safetensors")
        assert found.preprocessing == preparation
        assert found.network.sha256 == made.network.sha256


def test_grey_images_have_two_planes(tmp_path: Path) -> None:
    grey = checkpoint(2, "poisson", spikesam.Preprocessing(8, 6, (0.5,), (0.25,)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 6), np.uint8)
    raster = spikesam.simulate(grey, pixels, backend="event")
    prepared = (pixels[:, None] / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
    assert raster.raster_digest == spikesam.simulate(grey, prepared, backend="event").raster_digest
    dark, bright = raster["input"][0][:, 1].any(axis=0), raster["input"][0][:, 0].any(axis=0)
    assert not (dark & bright).any()
    assert set(pixels[0][bright]) <= set(range(128, 256))
    colours = Image.fromarray(np.full((8, 6, 3), (200, 30, 90), np.uint8))
    # luma of ITU-R 601: 0.299·200 + 0.587·30 + 0.114·90
    assert set(grey.image_preprocessing.picture(colours).ravel().tolist()) == {88}


def test_a_network_for_spikes_alone_takes_what_the_caller_brings(tmp_path: Path) -> None:
    plain = checkpoint(7, "spikes", None)
    spikes = np.random.default_rng(0).random((6, 2, 7, 8, 6)) < 0.2
    assert spikesam.simulate(plain, spikes, backend="event").n_samples == 2
    alone = "the network takes spikes that the caller brings; give an array"
    for data in (None, "saccade-digits", [recording(0)], np.zeros((1, 8, 6, 3), np.uint8)):
        with pytest.raises(spikesam.InputError, match=alone):
            spikesam.simulate(plain, data)
    with pytest.raises(
        spikesam.InputError, match=r"from_torch\(…, preprocessing=spikesam.Preprocessing\(…\)\)"
    ):
        spikesam.simulate(checkpoint(6, "poisson", None))


def test_events_and_images_are_not_confused(
    for_events: spikesam.Checkpoint, tmp_path: Path
) -> None:
    for_images = checkpoint(6, "poisson", spikesam.Preprocessing(8, 6, (0.5,) * 3, (0.25,) * 3))
    folder = class_folders(tmp_path / "images", classes=("left", "right"))
    image = (
        "data: got an image, but the network takes events; give saccade-digits or recordings "
        "of events"
    )
    for data in (folder, sorted(folder.rglob("*.png"))[0], np.zeros((1, 8, 6, 3), np.uint8)):
        with pytest.raises(spikesam.InputError, match=image):
            spikesam.simulate(for_events, data)
    events = "data: got events, but the network takes images; give images, or a network for events"
    for data in (recording(0), nmnist_file(tmp_path / "a.bin", recording(0))):
        with pytest.raises(spikesam.InputError, match=events):
            spikesam.simulate(for_images, data)
    with pytest.raises(
        spikesam.InputError, match="a plain network does not know how events are binned"
    ):
        spikesam.simulate(for_events.network, [recording(0)])
    samples = choose_samples(str(tmp_path / "a.bin"), for_events, 1, seed=0)
    with pytest.raises(spikesam.InputError, match="holds events, expected images"):
        samples.images()


@pytest.mark.parametrize(
    ("planes", "encoder", "preparation", "message"),
    [
        (
            6,
            "poisson",
            BINNING,
            r"got EventBinning, but the network takes images \(Preprocessing, or None\)",
        ),
        (
            2,
            "spikes",
            spikesam.Preprocessing(8, 6, (0.5,), (0.25,)),
            r"got Preprocessing, but the network takes spikes \(EventBinning, or None\)",
        ),
        (
            6,
            "poisson",
            spikesam.Preprocessing(8, 6, (0.5,), (0.25,)),
            "input is 6×8×6, but its data are prepared as ON and OFF planes of grey, 2×8×6",
        ),
        (2, "changing-current", BINNING, r"but the network takes numbers of every step \(None\)"),
        (
            3,
            "spikes",
            BINNING,
            "input is 3×8×6, but its data are prepared as events, OFF and ON, 2×8×6",
        ),
        (
            2,
            "spikes",
            replace(BINNING, bins=7),
            "7 bins of events do not fit into the network's 6 steps",
        ),
    ],
)
def test_preparations_that_do_not_fit(
    planes: int, encoder: str, preparation: object, message: str
) -> None:
    with pytest.raises(spikesam.InputError, match=message):
        checkpoint(planes, encoder, preparation)


def test_grad_cam_of_a_network_for_events(for_events: spikesam.Checkpoint, tmp_path: Path) -> None:
    from spikesam.pipeline import explain

    spikesam.save(for_events, tmp_path / "events.safetensors")
    file = nmnist_file(tmp_path / "a.bin", recording(0))
    explain.main(
        [
            str(tmp_path / "events.safetensors"),
            "--data",
            str(file),
            "--out",
            str(tmp_path / "maps.h5"),
        ]
    )
    with spikesam.open_maps(tmp_path / "maps.h5") as maps:
        assert maps["conv1"].sum.any()
