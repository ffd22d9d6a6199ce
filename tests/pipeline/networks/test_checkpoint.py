"""Checkpoints: round trip, and files or configurations that do not fit."""

from __future__ import annotations

import dataclasses
import json
import struct

import pytest

from backends.network.storage import write_network
from pipeline.config import Config, DataSection, NetworkSection
from pipeline.networks.checkpoint import BUNDLED, bundled_names, check_fit, load_checkpoint
from recordings.errors import InputError
from tests.pipeline.small_networks import CLASSES, SMALL, small_ann, small_checkpoint


@pytest.fixture
def path(tmp_path):
    return small_checkpoint(tmp_path / "small.safetensors")


def test_round_trip(path):
    checkpoint = load_checkpoint(str(path))
    assert checkpoint.classes == CLASSES
    assert checkpoint.class_names == ("APPLE", "PEAR", "PLUM")
    assert checkpoint.preprocessing.width == 24
    assert checkpoint.network.timesteps == 8
    assert load_checkpoint(str(path)).network.sha256 == checkpoint.network.sha256


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_ones_are_small(name):
    assert (BUNDLED / f"{name}.safetensors").stat().st_size <= 3 << 20


@pytest.mark.parametrize("name", bundled_names("snn"))
def test_bundled_spiking_ones_load(name):
    checkpoint = load_checkpoint(name, "snn")
    assert checkpoint.network.timesteps >= 16
    assert len(checkpoint.classes) == 10


def test_bundled_ones_are_told_apart_by_what_is_inside(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.networks.checkpoint.BUNDLED", tmp_path)
    small_ann(tmp_path / "b.safetensors")
    small_checkpoint(tmp_path / "a-ann.safetensors")
    assert [bundled_names(kind) for kind in ("snn", "ann", None)] == [["a-ann"], ["b"], ["a-ann", "b"]]


def test_an_unknown_name_lists_the_bundled_ones():
    with pytest.raises(
        InputError, match=r"'cluttered-digit': neither a bundled one \(.*cluttered-digits.*\) nor a file"
    ):
        load_checkpoint("cluttered-digit")


def test_something_that_is_no_checkpoint(tmp_path, path):
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match=r"text.safetensors: not a readable safetensors file"):
        load_checkpoint(str(tmp_path / "text.safetensors"))
    bare = tmp_path / "bare.safetensors"
    write_network(load_checkpoint(str(path)).network, bare)
    with pytest.raises(InputError, match=r"bare.safetensors: a network without class names and image preparation"):
        load_checkpoint(str(bare))


def rewrite(path, change):
    """Change the metadata of a safetensors file, the tensors untouched."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def edited(key, change):
    """A change of the JSON that the metadata hold under a key."""

    def edit(metadata):
        value = json.loads(metadata[key])
        change(value)
        metadata[key] = json.dumps(value)

    return edit


@pytest.mark.parametrize("make", [small_checkpoint, small_ann])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metadata: metadata.pop("format"), "not a network: got format None, expected 'spikesam-network'"),
        (lambda metadata: metadata.update(format="relu-network"), "not a network: got format 'relu-network'"),
        (lambda metadata: metadata.update(checkpoint="["), "metadata is incomplete or malformed: JSONDecodeError"),
        (edited("checkpoint", lambda about: about.pop("classes")), "metadata is incomplete or malformed: KeyError"),
        (edited("checkpoint", lambda about: about.update(class_names=["a"])), "3 classes with 1 names"),
        (edited("graph", lambda graph: graph.update(layers=5)), "the graph is incomplete or malformed: TypeError"),
        (
            edited("graph", lambda graph: graph["layers"][1]["neuron"].update(type="izhikevich")),
            "layer 'conv2': neuron type is 'izhikevich', expected one of lif, fixed-lif, relu",
        ),
        (
            edited("graph", lambda graph: graph["layers"][1]["neuron"].update(refractory=3)),
            r"layer 'conv2': constants of (lif|relu) are .*refractory, expected (leak, threshold|none)",
        ),
        (
            edited("graph", lambda graph: graph["layers"][1].update(stride="2")),
            "layer 'conv2': stride is '2', expected an integer ≥ 1",
        ),
        (
            edited("graph", lambda graph: graph.update(input_shape=[1, 2])),
            r"input_shape is \[1, 2\], expected three positive integers",
        ),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, make, change, message):
    path = make(tmp_path / "small.safetensors")
    rewrite(path, change)
    with pytest.raises(InputError, match=message) as error:
        load_checkpoint(str(path))
    assert "\n" not in str(error.value)
    assert "small.safetensors" in str(error.value)


def test_a_training_folder_instead_of_its_checkpoint(tmp_path, path):
    path.rename(tmp_path / "checkpoint.safetensors")
    with pytest.raises(InputError, match=r"is a folder; did you mean .*/checkpoint.safetensors\?"):
        load_checkpoint(str(tmp_path))


def test_a_truncated_file(path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"small.safetensors: not a readable safetensors file"):
        load_checkpoint(str(path))


def test_parts_that_do_not_fit(path):
    checkpoint = load_checkpoint(str(path))
    with pytest.raises(InputError, match="2 classes with 3 names, but the network has 3 outputs"):
        dataclasses.replace(checkpoint, classes=CLASSES[:2])
    larger = dataclasses.replace(checkpoint.preprocessing, height=32)
    with pytest.raises(InputError, match="input is 6×16×24, .* 6×32×24"):
        dataclasses.replace(checkpoint, preprocessing=larger)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(network=SMALL.model_copy(update={"timesteps": 9})), "network.timesteps is 9, the checkpoint has 8"),
        (Config(network=NetworkSection(layers=(4, "D8"), timesteps=8)), "network.layers is "),
        (Config(data=DataSection(height=16, width=16)), r"data.height, data.width is \(16, 16\).*\(16, 24\)"),
        (Config(data=DataSection(height=16, width=24, classes=("apple",))), "data.classes is "),
    ],
)
def test_a_configuration_it_does_not_fit(path, config, message):
    with pytest.raises(InputError, match=f"checkpoint 'small' does not fit the configuration: {message}"):
        check_fit(load_checkpoint(str(path)), config, "small")


def test_a_configuration_that_says_nothing_of_it_fits(path):
    check_fit(load_checkpoint(str(path)), Config(), "small")
    check_fit(load_checkpoint(str(path)), Config(network=SMALL, data=DataSection(height=16, width=24)), "small")
