"""Golden vectors: a C compiler's program and plain NumPy fire from them what the raster holds."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

import spikesam
from spikesam.backends.network import (
    LIF,
    Attention,
    Conv,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
)
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline import export
from tests.backends.graphs import FIXED, graphs, quarters, some_inputs
from tests.backends.networks import NETWORKS, everything, samples

CC = shutil.which("cc")
EXAMPLES = Path(__file__).parents[3] / "examples"
needs_cc = pytest.mark.skipif(CC is None, reason="there is no C compiler")
OF_SPIKES = ("odd_sizes", "limits", "summed_limits", "resets", "rectangles", "overlaps", "one_step")
MOVED = ("staggered", "moved")


def network_named(name: str) -> Network:
    rng = np.random.default_rng(0)
    network = everything(rng) if name == "everything" else NETWORKS[name](rng)
    return network if network.precision == "fixed" else quantise(network)


def vectors(
    network: Network, inputs: NDArray[Any], folder: Path, *options: str
) -> tuple[spikesam.RasterReader, Path]:
    raster = spikesam.simulate(network, inputs, backend="event", out=folder / "run")
    export.main([str(folder / "run"), str(folder / "out"), "--format", "vectors", *options])
    return raster, folder / "out"


def checked(folder: Path) -> tuple[int, str]:
    """Exit code and output of the program."""
    warnings = ["-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    example = EXAMPLES / "golden_vectors.c"
    compiler = [str(CC), "-std=c11", "-O1", *warnings, "-I.", "-o", "check", str(example)]
    subprocess.run(compiler, cwd=folder, check=True, capture_output=True, text=True)
    done = subprocess.run(["./check"], cwd=folder, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout


@needs_cc
@pytest.mark.parametrize("name", [*OF_SPIKES, *MOVED, "everything"])
def test_the_example_in_c_fires_every_bit(name: str, tmp_path: Path) -> None:
    network = network_named(name)
    inputs = samples(np.random.default_rng(1), network)
    _, folder = vectors(network, inputs, tmp_path)
    neurons = sum(int(np.prod(shape)) for shape in network.raster_shapes[1:])
    compared = inputs.shape[1] * (network.timesteps * neurons + network.classes)
    assert checked(folder) == (0, f"0 of {compared} bits and sums differ\n")


@needs_cc
@pytest.mark.long
@settings(max_examples=60)
@given(network=graphs(FIXED))
def test_the_example_in_c_fires_every_bit_of_any_graph(
    network: Network, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("graph")
    products = [
        layer_input.synapse
        for layer in network.layers
        for layer_input in layer.inputs
        if isinstance(layer_input.synapse, Attention)
    ]
    if products:
        with pytest.raises(SystemExit):
            vectors(network, some_inputs(network), folder)
        assert not (folder / "out").exists()
        return
    assert checked(vectors(network, some_inputs(network), folder)[1])[0] == 0


@needs_cc
@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("spikes_2", "layer conv2"),
        ("layer3_threshold", "layer conv3"),
        ("layer1_input1_weight", "layer conv1"),
        ("readout_sums", "class 0"),
    ],
)
def test_the_program_names_the_first_that_differs(table: str, word: str, tmp_path: Path) -> None:
    network = network_named("everything")
    _, folder = vectors(network, samples(np.random.default_rng(1), network), tmp_path)
    before, begin, behind = (folder / "vectors.h").read_text().partition(f" {table}[")
    declared, brace, numbers = behind.partition("{\n")
    first, comma, rest = numbers.partition(",")
    changed = f"{declared}{brace}{(int(first) + 128) % 256 - 1}{comma}{rest}"
    (folder / "vectors.h").write_text(before + begin + changed)
    code, output = checked(folder)
    assert code == 1
    line = output.splitlines()[0]
    assert re.fullmatch(rf"sample 0, (step \d+, )?{word}(, neuron \d+: fires|: sums to) .*", line)


def of_places(layer_input: Mapping[str, Any], maps: Mapping[str, NDArray[Any]], t: int) -> Any:
    """x[t] by the README's line."""
    path = layer_input["path"]
    places = [maps[f"{path}/{axis}_of"] for axis in ("channel", "row", "column")]
    x = np.zeros([len(axis) for axis in places], np.int64)
    for number, source in enumerate(layer_input["sources"], 1):
        fired, delays = maps[f"{source['layer']}/fired"], maps[f"{path}/delay{number}"]
        for c, h, w in np.ndindex(x.shape):
            place = places[0][c], places[1][h], places[2][w]
            if min(place) >= 0 and t >= delays[place[0]]:
                x[c, h, w] += source["sign"] * int(fired[t - delays[place[0]]][place])
    return x


def rz(numbers: Any, bits: int) -> Any:
    return np.sign(numbers) * (np.abs(numbers) >> bits)


def fire(graph: dict[str, Any], maps: dict[str, NDArray[Any]], t: int) -> None:
    """One step of every layer, with no pooling and no window, by the README's equations."""
    for node in graph["layers"][1:]:
        name, driven = node["name"], 0
        for number, layer_input in enumerate(node["inputs"], 1):
            path = f"{name}/input{number}"
            a = of_places(layer_input | {"path": path}, maps, t)
            if layer_input["weighted"]:
                weight, (border, _) = maps[f"{path}/weight"].astype(int), layer_input["padding"]
                padded = np.pad(a, ((0, 0), (border, border), (border, border)))
                view = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (1, 2))
                down, across = layer_input["stride"]
                a = np.einsum("oiyx,ihwyx->ohw", weight, view[:, ::down, ::across])
            gain = maps[f"{path}/gain"].astype(int)
            row = gain[(t - 1) % len(gain)][:, None, None]
            driven = driven + rz(row * a, layer_input["shift"])
        decay, slow, threshold, by, lowest = (
            maps[f"{name}/{constant}"].astype(int)[:, None, None]
            for constant in ("decay", "synaptic_decay", "threshold", "reset_by", "lowest")
        )
        bias, limit = maps[f"{name}/bias"].astype(int), 8388607
        fired, (v, i) = maps[f"{name}/fired"], maps[f"{name}/state"]
        i[:] = rz(i * (4096 - slow), 12) + driven + bias[(t - 1) % len(bias)][:, None, None]
        if node["limits_current"]:
            i[:] = np.clip(i, -limit, limit)
        spiked = fired[t - 1].astype(bool)
        kept = np.where(spiked, 0, v) if node["reset_to_zero"] else v
        lost = 0 if node["reset_to_zero"] else by * spiked
        v[:] = np.maximum(np.clip(rz(kept * (4096 - decay), 12) + i - lost, -limit, limit), lowest)
        fired[t] = v >= threshold if node["fires_at_threshold"] else v > threshold


def test_the_arrays_and_the_readme_are_enough(tmp_path: Path) -> None:
    """Of a network with sums of sources, a shortcut and recurrent weights; nothing pools in it."""
    rng = np.random.default_rng(0)
    layers = (
        Layer("conv1", Input(Conv(quarters(rng, 4, 2, 3, 3), padding=1)), LIF(0.5, bias=0.25)),
        Layer(
            "conv2",
            (
                Input(
                    Conv(quarters(rng, 4, 4, 3, 3), padding=1, stride=1),
                    ("conv1", Source("conv1", 2)),
                    0.5,
                ),
                Input(Identity(), Source("conv1", 3, -1), 0.5),
                Input(quarters(rng, 4, 4, 1, 1), "conv2"),
            ),
            LIF(0.5, 1.5, bias=0.25, reset="zero", synaptic_leak=0.5, min_v_mem=-0.5),
        ),
        Layer(
            "conv3",
            Input(Conv(quarters(rng, 4, 4, 3, 3), stride=2, padding=1)),
            LIF(0.75, reset_by=0.5),
        ),
        Layer("fc4", quarters(rng, 5, 36), LIF(0.5, fires_at_threshold=True)),
    )
    network = quantise(Network((2, 6, 6), 9, layers, Readout(quarters(rng, 3, 5)), "spikes"))
    raster, folder = vectors(network, samples(np.random.default_rng(1), network), tmp_path)
    with np.load(folder / "vectors.npz") as file:
        arrays = dict(file)
    graph = json.loads(str(arrays["graph"]))
    assert graph["raster_digest"] == raster.raster_digest
    sample = 0
    maps = dict(arrays)
    for node in graph["layers"]:
        recorded = arrays[f"{node['name']}/spikes"]
        assert np.array_equal(recorded[sample], raster[node["name"]][sample])
        maps[f"{node['name']}/fired"] = np.zeros_like(recorded[sample])
        maps[f"{node['name']}/state"] = np.zeros((2, *node["shape"]), np.int64)
    maps["input/fired"] = arrays["input/spikes"][sample]
    for t in range(1, graph["timesteps"]):
        fire(graph, maps, t)
    for node in graph["layers"]:
        fired = maps[f"{node['name']}/fired"]
        assert np.array_equal(fired, arrays[f"{node['name']}/spikes"][sample]), node["name"]
    assert np.array_equal(arrays["readout/sums"], raster.readout)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    network = network_named("resets")
    spikesam.simulate(
        network, samples(np.random.default_rng(1), network), backend="event", out=tmp_path / "run"
    )
    return tmp_path / "run"


def test_samples_are_chosen_and_a_folder_replaced(run: Path, tmp_path: Path, refused: Any) -> None:
    out = tmp_path / "digits.vectors"  # the name says the format
    export.main([str(run), str(out)])
    line = refused(export.main, run, out)
    assert "digits.vectors: already exists" in line
    export.main([str(run), str(out), "--samples", "1:3", "--overwrite"])
    with np.load(out / "vectors.npz") as file:
        assert len(file["readout/sums"]) == 2
    assert sorted(file.name for file in out.iterdir()) == [
        "README.md",
        "check.c",
        "vectors.h",
        "vectors.npz",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.vectors", "run"]


def test_a_folder_of_other_things_is_kept(run: Path, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").touch()
    line = refused(export.main, run, tmp_path / "thesis", "--format", "vectors", "--overwrite")
    assert "thesis: is no folder with vectors.npz" in line
    assert (tmp_path / "thesis" / "thesis.txt").exists()


def test_spikes_that_the_network_does_not_fire_are_refused(
    run: Path, tmp_path: Path, refused: Any
) -> None:
    raster = spikesam.open_raster(run)
    name = raster.layers[1].name
    edited = spikesam.edit(raster, layer=name, all=True, fires=True)
    edited.write(run / "raster.h5", overwrite=True)
    line = refused(export.main, run, tmp_path / "out", "--format", "vectors")
    assert f"layer {name!r}, sample 0, step " in line
    assert "not those that the network fires" in line
    assert not (tmp_path / "out").exists()


def alone(run: Path) -> None:
    (run / "network.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (alone, (), "raster.h5: "),
        (None, ("--layers", "input"), "--layers: golden vectors are of all layers"),
        (None, ("--format", "vector"), "--format: got 'vector', expected one of nwb, zarr, nir"),
        (None, ("--samples", "99"), "--samples: got '99'"),
    ],
)
def test_bad_input_is_one_line(
    change: Callable[[Path], None] | None,
    options: tuple[str, ...],
    message: str,
    run: Path,
    tmp_path: Path,
    refused: Any,
) -> None:
    if change is not None:
        change(run)
    line = refused(export.main, run, tmp_path / "out", "--format", "vectors", *options)
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        (
            "multiplied",
            "fixed",
            "has attention, expected convolutions, dense layers and identities",
        ),
        ("constant_odd", "fixed", "reads numbers of the input, which a raster does not hold"),
        ("everything", "float32", "its network is in float32, expected fixed point"),
    ],
)
def test_what_the_form_cannot_say_is_refused(
    name: str, precision: str, message: str, tmp_path: Path, refused: Any
) -> None:
    rng = np.random.default_rng(0)
    network = everything(rng) if name == "everything" else NETWORKS[name](rng)
    shown = samples(rng, network)
    if network.current_input:
        shown = (shown / 127).astype(np.float32)  # prepared images
    spikesam.simulate(
        network,
        shown,
        precision=precision,
        backend="event",
        out=tmp_path / "run",
    )
    assert message in refused(
        export.main, tmp_path / "run", tmp_path / "out", "--format", "vectors"
    )
