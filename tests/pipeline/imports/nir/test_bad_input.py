"""What is no network, or none that can be expressed exactly, is one line that names the file and
the node.
"""

import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

import spikesam
from spikesam.pipeline.imports.nir.read import from_nir
from spikesam.pipeline.imports.nir.write import to_nir
from tests.pipeline.imports.nir.graphs import conv, graph, lif, nir, small, weights

T = 5
rng = np.random.default_rng(0)


def refused(found: Any, message: str, **options: Any) -> None:
    with pytest.raises(spikesam.InputError, match=message) as caught:
        from_nir(found, **{"timesteps": T, **options})
    assert "\n" not in str(caught.value)


def flatten(*shape: int, start: int = 0) -> Any:
    return nir.Flatten(np.array(shape), start, -1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = small()
    found.infer_types()  # the library cannot write a convolution without the size of its input
    nir.write(tmp_path / "network.nir", found)
    return tmp_path / "network.nir"


@pytest.mark.parametrize("library", [None, ModuleType("nir")], ids=["none", "an old one"])
def test_without_the_library(
    library: ModuleType | None, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = (
        r"NIR files need the library nir, which is not installed; pip install 'spikesam\[nir\]'"
    )
    message = (
        "NIR files need nir 1.0.8 or newer; pip install --no-deps nir==1.0.8"
        if library
        else missing
    )
    monkeypatch.setitem(sys.modules, "nir", library)
    refused(path, message)
    with pytest.raises(spikesam.InputError, match=message):
        to_nir(spikesam.load("cluttered-digits").network)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (
            [("neurons2", "conv1")],
            "node 'neurons1' → node 'neurons2' → node 'neurons1': form a loop of 2 layers",
        ),
        (
            [("fc", "fc")],
            "nodes 'fc' → 'fc': form a cycle without neurons, expected some that spike",
        ),
        (
            [("conv1", "pool")],
            "node 'pool': averages a sum of spikes and currents, expected either",
        ),
        ([("pool", "flatten")], r"edge \('pool', 'flatten'\): is there 2 times, expected once"),
        (
            [("input", "pool")],
            r"'pool': adds maps .* \(3, 8, 8\) of node 'neurons1' and \(2, 8, 8\) of the input",
        ),
        (
            [("input", "neurons1")],
            r"node 'neurons1': shape is \(3, 8, 8\), expected \(2, 8, 8\), the map before it",
        ),
        (
            [("neurons1", "output")],
            "node 'output': adds up what comes from node 'neurons2' and node 'neurons1'",
        ),
        (
            [("conv1", "absent")],
            r"edge \('conv1', 'absent'\): there is no node 'absent', expected one of 'input', ",
        ),
        ([("gone", "conv1")], r"edge \('gone', 'conv1'\): there is no node 'gone'"),
    ],
)
def test_edges_that_no_network_has(edges: list[tuple[str, str]], message: str) -> None:
    found = small()
    found.edges = [*found.edges, *edges]
    refused(found, message)


def test_branches_and_loose_ends() -> None:
    output = nir.Output(np.array([5]))
    for nodes, edges, message in (
        ({"other": output}, [], r"2 nodes Output at an end \('output', 'other'\), expected one"),
        (
            {"other": output},
            [("neurons2", "other")],
            r"2 nodes Output at an end \('output', 'other'\), expected one",
        ),
        (
            {"second": nir.Input(np.array([2, 8, 8]))},
            [],
            r"2 nodes Input at an end \('input', 'second'\), expected",
        ),
        (
            {"aside": lif((3, 8, 8))},
            [("conv1", "aside")],
            "no edges lead from 'aside' to the output 'output', exp",
        ),
    ):
        found = small()
        found.nodes |= nodes
        found.edges += edges
        refused(found, f"graph: {message}")
    found = small()
    del found.nodes["output"], found.edges[-1]
    refused(found, "graph: no node Output at an end, expected one")
    found = small()
    found.edges.remove(("pool", "flatten"))
    refused(
        found,
        "graph: no edges lead from the input 'input' to 'flatten', 'fc', 'neurons2', 'output', "
        "expected one",
    )
    refused(
        graph(input=nir.Input(np.array([2])), output=nir.Output(np.array([2]))),
        "graph: got no neurons that spike",
    )


MAP = (3, 8, 8)


def constants(number: int, value: float) -> Any:
    """Of so many kinds, for each neuron of a map."""
    return np.full((number, *MAP), value)


def cuba(value: float) -> Any:
    return nir.CubaLIF(*constants(4, value), v_threshold=np.ones(MAP))


CONV1D = nir.Conv1d(8, np.ones((3, 2, 3)), 1, 1, 1, 1, np.zeros(3))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"conv1": nir.Delay(np.ones((2, 8, 8)))}, "'conv1': delay is 1 … 1 s, expected whole"),
        (
            {"conv1": CONV1D},
            r"'conv1': its input is \(2, 1, 8\), expected \(2, 8, 8\), the map before",
        ),
        (
            {"conv1": nir.LI(*np.full((3, 2, 8, 8), 4e-4))},
            "'conv1': stands between neurons, expected at the end",
        ),
        (
            {"pool": conv(rng, 3, 3, 1, 1)},
            r"'flatten': its input is \(3, 4, 4\), expected \(3, 8, 8\), the map before",
        ),
        (
            {"neurons1": cuba(4e-4)},
            "'neurons1': v_leak is not 0, expected 0 beside currents that outlast a step",
        ),
        (
            {"neurons1": cuba(5e-5)},
            "'neurons1': tau_mem is 5e-05 s, expected at least dt = 0.0001 s",
        ),
        (
            {"neurons1": nir.LIF(*constants(4, 0.5), v_reset=np.full(MAP, 0.2))},
            "'neurons1': v_reset is 0.2, expected 0, or the same as v_leak",
        ),
        (
            {"neurons1": nir.IF(np.full(MAP, 1e4), np.ones(MAP), np.full(MAP, 0.2))},
            "'neurons1': v_reset is 0.2, expected 0, or",
        ),
        (
            {"neurons1": nir.LIF(*constants(4, 1e-5))},
            "'neurons1': tau is 1e-05 s, expected at least dt = 0.0001 s",
        ),
        (
            {"neurons1": lif(MAP, threshold=rng.random(MAP))},
            "'neurons1': v_threshold differs between neurons of chann",
        ),
        ({"neurons1": lif(MAP, threshold=-1.0)}, "'neurons1': .* expected more than 0"),
        ({"neurons1": lif((3, 8, 7))}, r"'neurons1': shape is \(3, 8, 7\), expected \(3, 8, 8\)"),
        (
            {"fc": nir.Affine(np.full((5, 48), np.nan), np.zeros(5))},
            "'fc': weight must be finite numbers",
        ),
        (
            {"fc": nir.Affine(np.ones((5, 47)), np.zeros(5))},
            r"'fc': weight has shape \(5, 47\), expected .*48",
        ),
        (
            {"fc": nir.Affine(np.ones((5, 48)), np.zeros(4))},
            r"'fc': bias has shape \(4,\), expected \(5,\)",
        ),
        (
            {"flatten": nir.Scale(np.ones((3, 4, 4)))},
            r"'fc': weight has shape \(5, 48\) behind a map \(3, 4, 4\), exp",
        ),
        (
            {"flatten": flatten(3, 5, 4)},
            r"'flatten': its input is \(3, 5, 4\), expected \(3, 4, 4\)",
        ),
        (
            {"flatten": flatten(3, 4, 4, start=1)},
            r"'flatten': flattens axes 1 … 2 of \(3, 4, 4\), expected all",
        ),
        (
            {"output": nir.Output(np.array([6]))},
            r"'output': shape is \(6, 1, 1\), expected \(5, 1, 1\), the",
        ),
        (
            {"input": nir.Input(np.array([1, 2, 8, 8]))},
            r"'input': shape is \(1, 2, 8, 8\), expected \(C, H, W\), \(C, L\) or",
        ),
        (
            {"input": nir.Input(np.array([3, 8, 8]))},
            r"'conv1': weight has shape \(3, 2, 3, 3\) in 1 groups",
        ),
    ],
)
def test_nodes_that_no_layer_can_hold(nodes: dict[str, Any], message: str) -> None:
    refused(small(**nodes), f"node {message}")


def test_convolutions_that_do_not_fit() -> None:
    def changed(**fields: Any) -> Any:
        node = conv(rng, 3, 2, 3, 3, padding=1)
        for name, value in fields.items():
            setattr(node, name, value)
        return small(conv1=node)

    refused(
        changed(input_shape=(9, 8)), r"node 'conv1': its input is \(2, 9, 8\), expected \(2, 8, 8\)"
    )
    refused(
        changed(stride=(1, 2, 1)),
        r"node 'conv1': stride is \[1, 2, 1\], expected an integer ≥ 1, or a pair",
    )
    refused(
        changed(groups=3), r"node 'conv1': weight has shape \(3, 2, 3, 3\) in 3 groups, expected"
    )
    refused(changed(dilation=10**9), "node 'conv1': a kernel of .* does not fit its input")
    refused(
        changed(dilation=10**5, padding=10**5),
        "node 'conv1': more than 268,435,456 weights without",
    )
    refused(
        changed(padding="same", stride=2),
        r"node 'conv1': padding is 'same' with stride \(2, 2\) and a kernel of",
    )
    refused(changed(padding="full"), "node 'conv1': padding is 'full'")


@pytest.mark.parametrize("threshold", [-0.5, 1.0, 3.0])
def test_a_threshold_behind_pooling_that_is_no_or(threshold: float) -> None:
    nodes = small().nodes
    order = {name: nodes[name] for name in ("input", "conv1", "neurons1", "pool")}
    rest = {name: nodes[name] for name in ("flatten", "fc", "neurons2", "output")}
    found = graph(**order, either=nir.Threshold(np.full((3, 4, 4), threshold)), **rest)
    refused(
        found,
        f"node 'either': threshold is {threshold:g}, expected one between 0 and 1, which a single "
        "spike",
    )


def test_readouts_that_are_none() -> None:
    nodes = small().nodes
    order = {name: nodes[name] for name in ("input", "conv1", "neurons1")}
    output, maps = nir.Output(np.array([3])), nir.Output(np.array(MAP))
    dense = {"flatten": flatten(3, 8, 8), "fc": nir.Linear(weights(rng, 3, 192))}
    synaptic = nir.CubaLI(*np.full((2, 3), 4e-4), np.ones(3), np.zeros(3))
    leaky = nir.LI(np.array([0.1, 0.2, 0.1]), np.ones(3), np.zeros(3))
    none = r"graph: its output is \(3, 8, 8\), expected one value per class"
    for end, message in (
        ({"output": maps}, none),
        ({"conv2": conv(rng, 3, 3, 8, 8), "output": output}, none),
        ({"scale": nir.Scale(np.ones(MAP)), "output": maps}, none),
        (
            dense | {"synaptic": synaptic, "output": output},
            "node 'synaptic': tau_syn is not dt, expected it: currents",
        ),
        (
            dense | {"leaky": leaky, "output": output},
            "'leaky': tau differs between neurons, expected one for all",
        ),
    ):
        refused(graph(**order, **end), message)


def test_arguments() -> None:
    refused(small(), "from_nir: got no timesteps, which this graph does not say", timesteps=None)
    refused(
        small(), "from_nir: timesteps is 0, expected an integer ≥ 1, at most 65,536", timesteps=0
    )
    refused(small(), "^timesteps is 65538, expected 1 to 65,536", timesteps=2**16)
    refused(small(), "from_nir: dt is 0.0, expected more than 0 seconds", dt=0)
    # Python keeps one of two equal literals, so the order depends on which was imported first.
    refused(
        small(),
        "from_nir: reset is 'soft', expected one of (subtract, zero|zero, subtract) or None",
        reset="soft",
    )
    refused({"nodes": {}}, "from_nir: got dict, expected a nir.NIRGraph or a file of one")
    one = np.ones(MAP)
    no_dt = "node 'neurons1': got {} and no dt, expected dt=1 if a step is one unit of time, "
    refused(small(neurons1=nir.IF(one, one)), no_dt.format("r = 1") + "as in files of sinabs")
    refused(
        small(neurons1=nir.LIF(20 * one, one, 0 * one, one)),
        no_dt.format("tau = 20 s") + ".*, or dt=0.0001 if",
    )


def test_files(path: Path, tmp_path: Path) -> None:
    refused(tmp_path / "absent.nir", "absent.nir: no such file, expected a NIR file")
    refused(tmp_path, ": a directory, expected a NIR file")
    content = path.read_bytes()
    (tmp_path / "text.nir").write_text("no network")
    refused(tmp_path / "text.nir", "text.nir: is not HDF5, expected a NIR file")
    (tmp_path / "short.nir").write_bytes(content[: len(content) // 2])
    refused(str(tmp_path / "short.nir"), "short.nir: cannot be read as HDF5 .*truncated")
    raster = spikesam.write_raster(tmp_path / "raster.h5", {"conv1": np.zeros((1, 2, 3, 4, 5))})
    refused(raster, "raster.h5: /: HDF5 without a group 'node', expected a NIR file")
    nir.write(tmp_path / "node.nir", lif((3,)))
    refused(tmp_path / "node.nir", "node.nir: cannot be read as a NIR graph")


def edit(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file[name] = value


def test_nodes_of_files(path: Path) -> None:
    edit(path, "node/nodes/neurons1/type", b"Izhikevich")
    refused(
        path,
        "network.nir: /node/nodes/neurons1/type: type of node 'Izhikevich', expected one of "
        "Affine, ",
    )
    edit(path, "node/nodes/neurons1/type", b"LIF")
    edit(path, "node/nodes/fc/weight", np.full((5, 48), np.inf))
    refused(path, "network.nir: node 'fc': weight must be finite numbers")
    edit(path, "node/nodes/fc/weight", np.ones(48))
    refused(
        path, "network.nir: cannot be read as a NIR graph .*, expected a file that nir.write made"
    )
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc"]
    refused(path, "network.nir: edge .*: there is no node 'fc', expected one of 'conv1', ")


def test_files_that_reach_outside_themselves(path: Path, tmp_path: Path) -> None:
    """Reading them would follow links, wherever they lead; tests/recordings/test_untrusted.py has
    every kind.
    """
    weight = "node/nodes/fc/weight"
    edit(path, weight, h5py.SoftLink("/node/nodes/conv1/weight"))
    refused(path, "/node/nodes/fc/weight: a soft link, expected a hard link")
    (tmp_path / "secret").write_bytes(bytes(5 * 48 * 8))
    with h5py.File(path, "a") as file:
        del file[weight]
        file.create_dataset(
            weight, (5, 48), "f8", external=[(str(tmp_path / "secret"), 0, 5 * 48 * 8)]
        )
    refused(path, "/node/nodes/fc/weight: external storage, expected data in this file")


def test_files_that_would_fill_the_memory(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.create_dataset(
            "node/nodes/fc/more", (1 << 20, 1 << 20), "f8", chunks=(1024, 1024), compression="gzip"
        )
    refused(
        path,
        "/node/nodes/fc/more: arrays of more than 1,073,741,824 bytes, expected at most so many",
    )
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc/more"]
        file["node/nodes/fc/again"] = file["node/nodes"]  # a group inside itself
    refused(path, "more than 16 groups inside each other, expected fewer")


@pytest.mark.long
def test_anything_else_in_a_file_is_an_error_or_a_network(path: Path) -> None:
    """Every number and text of a file of ours, replaced by others."""
    network = from_nir(small(), T)
    to_nir(network, path)
    names: list[str] = []
    with h5py.File(path) as file:
        file["node"].visititems(lambda name, item: names.append(f"node/{name}"))
    content = path.read_bytes()
    values = [b"zero", 2**62, np.ones((2, 3)), None]
    for name in names:
        for value in values:
            path.write_bytes(content)
            with h5py.File(path, "a") as file:
                del file[name]
                if value is not None:
                    file[name] = value
            with suppress(spikesam.InputError):
                from_nir(path)
