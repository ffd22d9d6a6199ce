"""The ANN twin and its file: a forward pass by hand, a round trip, and files that are something else."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from pipeline.images.preprocessing import Preprocessing
from pipeline.networks.ann import ReluNetwork
from pipeline.networks.ann_checkpoint import AnnCheckpoint, load_ann, save_ann
from pipeline.networks.checkpoint import BUNDLED, bundled_names, load_checkpoint
from recordings.errors import InputError
from tests.pipeline.small_networks import CLASSES, SMALL, small_ann, small_checkpoint


@pytest.fixture
def path(tmp_path) -> Path:
    return small_ann(tmp_path / "small.safetensors")


def test_a_forward_pass_by_hand():
    # 2×2 pixels, pooled to one: clipped to ±2 and halved they are 1, -1, 0.5, 0.5, so 0.25 on average.
    model = ReluNetwork(["P", "D2"], 1, 2, 2, 1).eval()
    model.synapses[0].weight.data = torch.tensor([[4.0], [-4.0]])
    model.readout.weight.data = torch.tensor([[3.0, 5.0]])
    assert model(torch.tensor([[[[9.0, -2.0], [1.0, 1.0]]]])).tolist() == [[3.0]]  # ReLU silences the second


def test_dropout_is_for_training_only():
    model = ReluNetwork(["P4", "D64"], 3, 4, 4, 2, dropout=0.5)
    image = torch.rand(1, 3, 4, 4)
    assert not torch.equal(model.train()(image), model(image))
    assert torch.equal(model.eval()(image), model(image))


def test_the_same_list_as_the_spiking_network():
    model = ReluNetwork(SMALL.layers, 3, 16, 24, 3)
    assert [plan.name for plan in model.plans] == ["conv1", "conv2", "fc1"]
    assert all(module.bias is None for module in (*model.synapses, model.readout))
    with pytest.raises(InputError, match="pooling 4 in front of fc1 does not divide its 5×12 input"):
        ReluNetwork(SMALL.layers, 3, 10, 24, 3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_round_trip_whatever_the_memory_layout(tmp_path, layout):
    torch.manual_seed(0)
    model = ReluNetwork(SMALL.layers, 3, 16, 24, 3).eval().to(memory_format=layout)
    prepare = Preprocessing(16, 24, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    saved = AnnCheckpoint(model, prepare, CLASSES, ("APPLE", "PEAR", "PLUM"))
    save_ann(saved, tmp_path / "ann.safetensors")
    loaded = load_ann(str(tmp_path / "ann.safetensors"))
    images = torch.randn(2, 3, 16, 24)
    assert torch.allclose(loaded.model(images), model(images), atol=1e-6)
    assert (loaded.preprocessing, loaded.classes, loaded.class_names) == (prepare, CLASSES, saved.class_names)
    assert loaded.sha256 == saved.sha256
    model.readout.weight.data[0, 0] += 1
    assert loaded.sha256 != saved.sha256


@pytest.mark.parametrize("name", bundled_names(ann=True))
def test_bundled_ones_are_small_and_load(name):
    assert (BUNDLED / f"{name}.safetensors").stat().st_size <= 3 << 20
    assert len(load_ann(name).classes) == 10


def test_each_loader_says_what_to_do_with_the_others_file(tmp_path, path):
    with pytest.raises(InputError, match=r"small.safetensors: an ANN, .* convert it with python -m pipeline.convert"):
        load_checkpoint(str(path))
    spiking = small_checkpoint(tmp_path / "spiking.safetensors")
    with pytest.raises(InputError, match=r"spiking.safetensors: a spiking network, expected an ANN; train one"):
        load_ann(str(spiking))
    with pytest.raises(InputError, match=r"'cluttered-digit-ann': neither a bundled one \(cluttered-digits-ann"):
        load_ann("cluttered-digit-ann")


def rewrite(path: Path, change) -> None:
    """Change the metadata of a safetensors file, the tensors untouched."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def described(metadata: dict[str, str], **changes: object) -> None:
    metadata["checkpoint"] = json.dumps(json.loads(metadata["checkpoint"]) | changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metadata: metadata.pop("format"), "not an ANN checkpoint"),
        (lambda metadata: metadata.pop("checkpoint"), "metadata is incomplete or malformed: KeyError"),
        (lambda metadata: described(metadata, layers=5), "metadata is incomplete or malformed: TypeError"),
        (lambda metadata: described(metadata, layers=[4, "Q"]), "entry 2: got 'Q'"),
        (lambda metadata: described(metadata, layers=["D99999999999"]), "expected .* of the layers it describes"),
        (lambda metadata: described(metadata, class_names=["a"]), "3 classes with 1 names"),
    ],
)
def test_a_damaged_file_is_one_line(path, change, message):
    rewrite(path, change)
    with pytest.raises(InputError, match=message) as error:
        load_ann(str(path))
    assert "\n" not in str(error.value)
    assert "small.safetensors" in str(error.value)
