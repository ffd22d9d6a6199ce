"""Checkpoints: round trip, and files or configurations that do not fit."""

import dataclasses
import hashlib
import json
from functools import reduce
from operator import getitem

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from spikesam.backends.network.storage import network_file_digest, write_network
from spikesam.common.errors import InputError
from spikesam.pipeline.config import Config, DataSection, NetworkSection
from spikesam.pipeline.networks.checkpoint import check_fit, load
from spikesam.pipeline.networks.checkpoint_files import (
    BUNDLED,
    bundled_names,
    find_checkpoint,
    is_checkpoint,
)
from tests.pipeline.small_networks import CLASSES, SMALL, small_ann, small_checkpoint


@pytest.fixture
def path(tmp_path):
    return small_checkpoint(tmp_path / "small.safetensors")


def test_round_trip(path):
    checkpoint = load(str(path))
    assert checkpoint.classes == CLASSES
    assert checkpoint.class_names == ("APPLE", "PEAR", "PLUM")
    assert checkpoint.preprocessing.width == 24
    assert checkpoint.network.timesteps == 8
    assert load(str(path)).network.sha256 == checkpoint.network.sha256


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_ones_are_small_and_load(name):
    assert (BUNDLED / f"{name}.safetensors").stat().st_size <= 3 << 20
    checkpoint = load(name)
    assert checkpoint.network.kind == "ann" or checkpoint.network.timesteps >= 12
    assert len(checkpoint.classes) == (8 if name == "chirps" else 10)


def test_bundled_ones_are_told_apart_by_what_is_inside(tmp_path, monkeypatch):
    monkeypatch.setattr("spikesam.pipeline.networks.checkpoint_files.BUNDLED", tmp_path)
    small_ann(tmp_path / "b.safetensors")
    small_checkpoint(tmp_path / "a-ann.safetensors")
    assert [bundled_names(kind) for kind in ("snn", "ann", None)] == [
        ["a-ann"],
        ["b"],
        ["a-ann", "b"],
    ]


def test_a_path_without_an_ending_is_no_bundled_one(path):
    folder = path.with_suffix("")
    folder.mkdir()
    with pytest.raises(InputError, match=r"small': is a folder, expected a checkpoint file"):
        find_checkpoint(str(folder))
    assert not is_checkpoint(folder) and is_checkpoint(path) and is_checkpoint("chirps")


def test_an_unknown_name_lists_the_bundled_ones():
    with pytest.raises(
        InputError,
        match=r"'cluttered-digit': neither a bundled one \(.*cluttered-digits.*\) nor a fi",
    ):
        load("cluttered-digit")


def test_something_that_is_no_checkpoint(tmp_path, path):
    for content in (b"hello", path.read_bytes()[:-100]):
        (tmp_path / "other.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=r"other.safetensors: not a readable safetensors file"):
            load(str(tmp_path / "other.safetensors"))
    bare = tmp_path / "bare.safetensors"
    write_network(load(str(path)).network, bare)
    with pytest.raises(
        InputError, match=r"bare.safetensors: a network without class names and image preparation"
    ):
        load(str(bare))


def rewrite(path, change, digest=True, **more):
    """Change the metadata of a network's file, and add tensors,
    with the digest of what it is then.
    """
    with safe_open(path, "numpy") as file:
        metadata, tensors = (
            dict(file.metadata()),
            {name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118
        )
    change(metadata)
    if digest:
        metadata.pop("sha256")
        metadata["sha256"] = network_file_digest(metadata, tensors | more)
    path.write_bytes(save(tensors | more, metadata))


def edited(key, *where, **changes):
    """A change of the JSON that the metadata hold under a key: an update of what lies at a path in
    it.
    """

    def edit(metadata):
        value = json.loads(metadata[key])
        reduce(getitem, where, value).update(changes)
        metadata[key] = json.dumps(value)

    return edit


def respelt(key, old, new):
    return lambda metadata: metadata.update({key: metadata[key].replace(old, new)})


SECOND = ("layers", 1, "neuron")


@pytest.mark.parametrize("make", [small_checkpoint, small_ann])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda metadata: metadata.pop("format"),
            "is not a network: format is None, expected 'spikesam-network'",
        ),
        (
            lambda metadata: metadata.update(format="relu-network"),
            "is not a network: format is 'relu-network'",
        ),
        (
            lambda metadata: metadata.update(checkpoint="["),
            "checkpoint metadata: not valid JSON: Expecting value",
        ),
        (lambda metadata: metadata.update(checkpoint="[" * 100_000), "nested deeper than 32"),
        (
            lambda metadata: metadata.update(graph='{"a":' * 40 + "1" + "}" * 40),
            "graph: .* nested deeper than 32",
        ),
        (edited("checkpoint", "preprocessing", height=float("inf")), "got Infinity"),
        (edited("checkpoint", "preprocessing", height="16"), "height is '16', expected a wh"),
        (edited("checkpoint", "preprocessing", height=10**30), "of more than 64 bits"),
        (
            edited("checkpoint", "preprocessing", std=[10**400] * 3),
            "expected a number or a list of finite num",
        ),
        (
            edited("checkpoint", classes=[1, None, 2]),
            "classes has the member 1, expected a list of te",
        ),
        (edited("graph", "readout", scale=10**400), "scale is 1000.*…0*, expected a finite"),
        (
            edited("graph", "layers", 1, kind="dense"),
            "layer 'conv2': padding is 1 of the kind 'dense', expected 0",
        ),
        (
            respelt("graph", ", 16, 24]", ", 16, " + "9" * 5000 + "]"),
            "graph: not valid JSON: Exceeds the limit",
        ),
        (
            respelt("checkpoint", '"classes"', '"kinds"'),
            "metadata is incomplete or malformed: KeyError",
        ),
        (edited("checkpoint", class_names=["a"]), "3 classes with 1 names"),
        (edited("graph", layers=5), "the graph is incomplete or malformed: TypeError"),
        (
            edited("graph", *SECOND, type="izhikevich"),
            "neuron type is 'izhikevich', expected one of lif, fixed-lif, relu",
        ),
        (
            edited("graph", *SECOND, refractory=3),
            "of (lif|relu) are .*refractory, expected (leak, thr|limit)",
        ),
        (
            edited("graph", "layers", 1, stride="2"),
            "layer 'conv2': stride is '2', expected an integer ≥ 1",
        ),
        (
            edited("graph", input_shape=[1, 2]),
            r"input_shape is \[1, 2\], expected three positive integers",
        ),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, make, change, message):
    path = make(tmp_path / "small.safetensors")
    rewrite(path, change)
    with pytest.raises(InputError, match=message) as error:
        load(str(path))
    assert "\n" not in str(error.value)
    assert "small.safetensors" in str(error.value)


def test_the_digest_is_of_one_line_of_json_and_the_numbers():
    tensors = {"b": np.array([[1, 2]], ">i4"), "a": np.array(1.0, np.float64)}
    text = b'[{"x":"y"},{"a":["float64",[]],"b":["int32",[1,2]]}]'
    numbers = b"\0\0\0\0\0\0\xf0\x3f" + b"\1\0\0\0\2\0\0\0"
    assert network_file_digest({"x": "y"}, tensors) == hashlib.sha256(text + numbers).hexdigest()


CHANGED = "was changed or damaged after it was written"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited("checkpoint", class_names=["APPLE", "PLUM", "PEAR"]), CHANGED),
        (edited("graph", "layers", 0, name="conv9"), CHANGED),
        (lambda metadata: metadata.update(extra="1"), CHANGED),
        (lambda metadata: metadata.update(sha256="0" * 64), CHANGED),
        (lambda metadata: metadata.pop("sha256"), "has no digest of its content"),
    ],
)
def test_a_changed_text_is_seen(path, change, message):
    rewrite(path, change, digest=False)
    with pytest.raises(InputError, match=rf"small.safetensors: {message}"):
        load(path)


def test_every_changed_bit_is_seen(path):
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 41):
        for bit in (0, 6):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(InputError, match=r"small.safetensors"):
                load(path)


def test_a_tensor_that_the_network_lacks(path):
    rewrite(path, lambda metadata: None, more=np.zeros(3, np.float32))
    with pytest.raises(InputError, match=r"tensor 'more': got .*, expected None"):
        load(path)


def test_more_than_any_network_needs(tmp_path, monkeypatch):
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # takes no room on the disk
    with pytest.raises(
        InputError, match=r"got 3,221,225,472 bytes, expected a network of at most 2,147,483,648"
    ):
        load(path)
    path.write_bytes((1 << 25).to_bytes(8, "little") + bytes(1 << 25))
    with pytest.raises(
        InputError, match=r"bytes of metadata, expected a network of at most 16,777,216"
    ):
        load(path)
    monkeypatch.setattr("spikesam.backends.network.storage.LARGEST_FILE", 1000)
    with pytest.raises(
        InputError, match=r"more.safetensors: the network has [\d,]+ bytes, expected at most 1,000"
    ):
        small_checkpoint(tmp_path / "more.safetensors")


def test_a_training_folder_instead_of_its_checkpoint(tmp_path, path):
    path.rename(tmp_path / "checkpoint.safetensors")
    with pytest.raises(InputError, match=r"is a folder; did you mean .*/checkpoint.safetensors\?"):
        load(str(tmp_path))


def test_parts_that_do_not_fit(path):
    checkpoint = load(str(path))
    with pytest.raises(InputError, match="2 classes with 3 names, but the network has 3 outputs"):
        dataclasses.replace(checkpoint, classes=CLASSES[:2])
    larger = dataclasses.replace(checkpoint.preprocessing, height=32)
    with pytest.raises(InputError, match="input is 6×16×24, .* 6×32×24"):
        dataclasses.replace(checkpoint, preprocessing=larger)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            Config(network=SMALL.model_copy(update={"timesteps": 9})),
            "network.timesteps is 9, the checkpoint has 8",
        ),
        (Config(network=NetworkSection(layers=(4, "D8"), timesteps=8)), "network.layers is "),
        (
            Config(data=DataSection(height=16, width=16)),
            r"data.height, data.width is \(16, 16\).*\(16, 24\)",
        ),
        (Config(data=DataSection(height=16, width=24, classes=("apple",))), "data.classes is "),
    ],
)
def test_a_configuration_it_does_not_fit(path, config, message):
    with pytest.raises(
        InputError, match=f"checkpoint 'small' does not fit the configuration: {message}"
    ):
        check_fit(load(str(path)), config, "small")


def test_a_configuration_that_says_nothing_of_it_fits(path):
    check_fit(load(str(path)), Config(), "small")
    check_fit(
        load(str(path)),
        Config(network=SMALL, data=DataSection(height=16, width=24)),
        "small",
    )


def test_a_configuration_may_call_classes_by_their_names(tmp_path):
    checkpoint = load(str(small_checkpoint(tmp_path / "a.safetensors")))
    names = dataclasses.replace(checkpoint, class_names=("red apple, Malus", "Pear", "plum"))
    called = DataSection(height=16, width=24, classes=("Red_Apple", "pear", "plum"))
    check_fit(names, Config(data=called), "small")
    with pytest.raises(
        InputError, match=r"data.classes is \('pear', 'apple', 'plum'\), the checkpoint has"
    ):
        check_fit(
            names,
            Config(data=called.model_copy(update={"classes": ("pear", "apple", "plum")})),
            "small",
        )


def test_a_checkpoint_may_be_called_as_files_of_others_are(tmp_path):
    assert load(small_checkpoint(tmp_path / "mine.pt")).classes == CLASSES
