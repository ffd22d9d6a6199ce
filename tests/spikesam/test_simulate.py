"""spikesam.simulate and explain: the same calls for every kind of network, data, and place for the
results.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import spikesam
from spikesam.pipeline import run
from tests.layers import two_layers
from tests.reference import simulate_reference


@pytest.fixture(scope="module")
def checkpoint(workplace: Path) -> spikesam.Checkpoint:
    return spikesam.load(str(workplace / "snn.safetensors"))


def test_the_same_bits_in_memory_in_a_folder_and_from_the_command(
    workplace, checkpoint, tmp_path
) -> None:
    in_memory = spikesam.simulate(workplace / "snn.safetensors", workplace / "images", samples=5)
    in_folder = spikesam.simulate(
        checkpoint, str(workplace / "images"), samples=5, out=tmp_path / "a", backend="torch"
    )
    arguments = [
        "--checkpoint",
        str(workplace / "snn.safetensors"),
        "--data",
        str(workplace / "images"),
    ]
    run.main([*arguments, "--samples", "5", "--figures", "0", "--out", str(tmp_path / "b")])
    with spikesam.open_raster(tmp_path / "b" / "raster.h5") as of_command:
        assert in_memory.raster_digest == in_folder.raster_digest == of_command.raster_digest
        assert np.array_equal(in_memory["conv1"][3], of_command["conv1"][3])
    names = ["network.safetensors", "pictures.zip", "raster.h5"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    assert in_memory.path is None
    assert in_folder.path == tmp_path / "a" / "raster.h5"


def test_maps_lie_where_their_raster_lies(workplace, checkpoint, tmp_path) -> None:
    in_memory = spikesam.explain(spikesam.simulate(checkpoint, workplace / "images", samples=2))
    raster = spikesam.simulate(checkpoint, workplace / "images", samples=2, out=tmp_path)
    on_disk = spikesam.explain(raster)
    assert in_memory.path is None
    assert on_disk.path == tmp_path / "sam.h5"
    assert list(in_memory) == list(on_disk) == ["input", "conv1", "conv2"]
    for name in on_disk:
        assert np.array_equal(on_disk[name].sum, in_memory[name].sum)
        matter = raster.steps_that_matter(name)
        heat = spikesam.sam(raster[name][:])
        assert np.array_equal(heat[:, 1], on_disk[name][1])
        assert np.allclose(heat[:matter].sum(axis=0), on_disk[name].sum, rtol=1e-6)
    again = spikesam.explain(tmp_path / "raster.h5", gamma=0.2)
    assert again.path == tmp_path / "sam.h5"
    with pytest.raises(
        spikesam.InputError,
        match="already exists; choose another out, or replace it with overwrite=T",
    ):
        spikesam.explain(raster, out=tmp_path / "sam.h5")


def test_arrays_of_images_are_prepared_and_encoded_alike(workplace, checkpoint) -> None:
    from spikesam.pipeline.networks.samples import choose_samples

    samples = choose_samples(str(workplace / "images"), checkpoint, 6, seed=0)
    order = samples.table.index.argsort()  # an array's samples are numbered in order
    pictures, prepared = samples.pictures[order], samples.images(order)
    expected = spikesam.simulate(checkpoint, samples).raster_digest
    shuffled = spikesam.simulate(
        checkpoint, np.asarray(pictures), labels=samples.table.label[order]
    )
    again = spikesam.simulate(checkpoint, prepared, labels=samples.table.label[order])
    plain = spikesam.simulate(checkpoint.network, torch.from_numpy(prepared))
    assert shuffled.raster_digest == again.raster_digest == plain.raster_digest != expected
    assert shuffled.samples.label.tolist() == samples.table.label[order].tolist()
    assert plain.samples.label.tolist() == [-1] * 6


def test_spikes_of_ones_own_are_the_input(checkpoint) -> None:
    spikes = np.random.default_rng(0).random((8, 3, 6, 16, 24)) < 0.3
    raster = spikesam.simulate(checkpoint.network, spikes.astype(np.float32), samples=2)
    assert raster.n_samples == 2
    assert np.array_equal(raster["input"][:], spikes[:, :2])


@pytest.mark.parametrize("resume", [False, True])
def test_the_same_call_again_returns_the_finished_raster(
    workplace, checkpoint, tmp_path, resume
) -> None:
    with pytest.raises(
        spikesam.InputError, match=r"nothing is there to resume; start without resume=True$"
    ):
        spikesam.simulate(
            checkpoint, workplace / "images", samples=3, out=tmp_path / "new", resume=True
        )
    first = spikesam.simulate(checkpoint, workplace / "images", samples=3, out=tmp_path)
    again = spikesam.simulate(
        checkpoint, workplace / "images", samples=3, out=tmp_path, resume=resume
    )
    assert (again.run_uuid, again.raster_digest) == (first.run_uuid, first.raster_digest)
    with pytest.raises(
        spikesam.InputError,
        match=r"seed is 0 there, 1 here.*; use the same settings, or another out$",
    ):
        spikesam.simulate(
            checkpoint, workplace / "images", samples=3, seed=1, out=tmp_path, resume=resume
        )
    assert spikesam.open_raster(tmp_path / "raster.h5").run_uuid == first.run_uuid


PICTURE = np.zeros((1, 16, 24, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"network": np.zeros((2, 3))},
            "network: got ndarray, expected a Network, a Checkpoint, or its name or file",
        ),
        (
            {"network": "cluttered-digit"},
            "neither a bundled one .* did you mean 'cluttered-digits'",
        ),
        (
            {"network": "cluttered-digits-ann"},
            "an ANN, which does not spike, expected a spiking network; convert it w",
        ),
        (
            {"network": "net.pt"},
            "a PyTorch file: build the model and use spikesam.record, or spikesam.from_torch",
        ),
        (
            {"network": nn.Linear(2, 3)},
            "network: got Linear, .*spikesam.from_torch makes a Network of a torch model",
        ),
        ({"timesteps": 4}, "timesteps: T belongs to the network"),
        ({"batch": 4}, "simulate: got the option 'batch', expected some of help"),
        ({"data": "nowhere"}, "nowhere: no such data set or file"),
        (
            {"data": np.zeros((2, 4, 4))},
            r"data: got an array of shape \(2, 4, 4\) float64, expected images",
        ),
        (
            {"data": np.full((8, 1, 6, 16, 24), 0.5)},
            r"data: index \(0, 0, 0, 0, 0\): got the value 0.5, expected",
        ),
        (
            {"data": np.zeros((8, 1, 6, 16, 16))},
            r"got .* \(8, 1, 6, 16, 16\), expected \(\d, 1, 6, 16, 24\), after wh",
        ),
        ({"data": Image.new("RGB", (8, 8))}, "data: got Image, expected images"),
        (
            {"data": [Image.new("RGB", (8, 8))]},
            "data: got list of other things than paths, expected images",
        ),
        ({"data": 3}, "data: got int, expected images"),
        (
            {"data": np.zeros((16, 24, 3), np.uint8)},
            r"shape \(16, 24, 3\) uint8, .*one image is image\[None\]",
        ),
        (
            {"data": np.zeros((1, 16, 24, 3))},
            r"prepared images of .* = \(16, 24, 3\), expected \(3, 16, 24\)",
        ),
        (
            {"data": np.full((1, 3, 16, 24), 200.0)},
            r"values in 200 … 200, expected -2 … 2; prepare them as",
        ),
        ({"data": np.full((1, 3, 16, 24), np.nan)}, "values in nan … nan"),
        ({"data": PICTURE, "labels": [1, 2]}, r"labels: got \(2,\), expected one for each"),
        ({"data": PICTURE, "labels": [7]}, r"labels: got 7 … 7, expected -1 … 2"),
        ({"labels": [1]}, "labels: got some beside a data set"),
        ({"backend": "loihi"}, "backend is 'loihi', expected one of auto, event, lava, torch"),
        ({"precision": "int4"}, "precision is 'int4', expected 'fixed' or 'float32'"),
        ({"batch_size": 17}, "batch_size: got 17, expected 1 … 16"),
        ({"seed": -1}, "seed: got -1, expected"),
        *(
            ({"samples": wrong}, "samples: got .*, expected a whole number, at least 1")
            for wrong in (0, -1)
        ),
        *(
            ({"samples": wrong}, "samples is .*, expected a whole number or None")
            for wrong in ("4", 2.5)
        ),
    ],
)
def test_what_does_not_fit_is_one_line(workplace, checkpoint, tmp_path, arguments, message) -> None:
    given = {
        "network": checkpoint,
        "data": str(workplace / "images"),
        "out": tmp_path / "out",
    } | arguments
    with pytest.raises(spikesam.InputError, match=message) as caught:
        spikesam.simulate(**given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "raster.h5").exists()


def test_a_plain_network_cannot_prepare_images_and_fixed_point_cannot_be_undone(
    workplace, checkpoint
) -> None:
    fixed = replace(checkpoint, network=spikesam.quantise(checkpoint.network))
    for wrong, data, message in (
        (
            checkpoint.network,
            workplace / "images",
            "a plain network does not know how its images are prepared",
        ),
        (
            checkpoint.network,
            np.zeros((1, 16, 24, 3), np.uint8),
            "does not know how images are prepared",
        ),
        (
            fixed,
            np.zeros((8, 1, 6, 16, 24), bool),
            "holds fixed point already, which float32 cannot undo",
        ),
    ):
        with pytest.raises(spikesam.InputError, match=message):
            spikesam.simulate(wrong, data, precision="float32")


def test_a_network_that_takes_spikes_records_them_and_refuses_images() -> None:
    """It fires what one with Poisson input fires from the same spikes, of which the last steps may
    be missing.
    """
    takes = two_layers(2, "spikes", 8)
    spikes = np.random.default_rng(0).random((8, 3, 2, 8, 6)) < 0.4
    spikes[6:] = False  # each of the two layers delays by a step
    raster = spikesam.simulate(takes, spikes, backend="event")
    assert list(raster) == ["input", "conv1", "fc1"]
    assert np.array_equal(raster["input"][0:3], spikes)
    assert raster["conv1"].counts.sum() > 0
    for same, given in ((takes, spikes[:6]), (replace(takes, encoder="poisson"), spikes)):
        assert spikesam.simulate(same, given, backend="event").raster_digest == raster.raster_digest
    with pytest.raises(
        spikesam.InputError, match="^data: got images, but the network takes spikes"
    ):
        spikesam.simulate(takes, np.zeros((3, 2, 8, 6), np.float32))
    with pytest.raises(
        spikesam.InputError, match=r"\(7, 3, 2, 8, 6\), expected \(6, 3, 2, 8, 6\), after which 2 s"
    ):
        spikesam.simulate(takes, spikes[:7], backend="event")
    short = spikesam.Network(
        (1, 1, 1),
        3,
        (spikesam.Layer("fc1", np.eye(1), spikesam.LIF(0.9)),),
        spikesam.Readout(np.eye(1)),
        "spikes",
    )
    with pytest.raises(spikesam.InputError, match=r"after which 1 silent step comes, as many as"):
        spikesam.simulate(short, np.zeros((5, 1, 1, 1, 1)))


def test_fewer_samples_than_were_asked_for_are_said(checkpoint: spikesam.Checkpoint) -> None:
    """Of images, and of spikes."""
    images, spikes = np.zeros((3, 16, 24, 3), np.uint8), np.zeros((8, 1, 2, 8, 6), bool)
    with pytest.warns(UserWarning, match="^simulate: data has 3 samples, fewer than 5$"):
        assert spikesam.simulate(checkpoint, images, samples=5, backend="event").n_samples == 3
    with pytest.warns(UserWarning, match="^simulate: data has 1 sample, fewer than 2$"):
        spikesam.simulate(two_layers(2, "spikes", 8), spikes, samples=2, backend="event")


def test_a_network_with_a_shortcut_and_recurrence_is_recorded_like_any_other() -> None:
    """Spikes take two steps to the readout, past conv2, so two silent steps are added."""
    random = np.random.default_rng(0)
    inputs = {
        "conv1": spikesam.Input(spikesam.Conv(random.normal(0.3, 1, (3, 2, 3, 3)), padding=1)),
        "conv2": (
            spikesam.Input(spikesam.Conv(random.normal(0, 1, (3, 3, 3, 3)), padding=1)),
            spikesam.Input(spikesam.Identity(), "conv2"),
        ),
        "fc3": spikesam.Input(random.normal(0.1, 1, (4, 48)), ("conv2", spikesam.Source("conv1"))),
    }
    layers = [spikesam.Layer(name, given, spikesam.LIF(0.9)) for name, given in inputs.items()]
    whole = spikesam.Network((2, 4, 4), 8, layers, spikesam.Readout(np.eye(4)), "spikes")
    spikes = random.random((6, 3, 2, 4, 4)) < 0.4
    raster = spikesam.simulate(whole, spikes, backend="torch")
    expected, _ = simulate_reference(
        spikesam.quantise(whole), np.concatenate([spikes, 0 * spikes[:2]])
    )
    assert list(raster) == ["input", "conv1", "conv2", "fc3"]
    for name, bits in zip(raster, expected, strict=True):
        assert 0 < bits.mean() < 1
        assert np.array_equal(raster[name][:], bits)
    assert (
        raster.raster_digest
        == spikesam.simulate(whole, spikes, backend="torch", batch_size=1).raster_digest
    )
