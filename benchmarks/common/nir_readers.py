"""The graphs as other libraries read and run them: `python -m benchmarks.common.nir_readers LIBRARY
FILE`.

Runs in a process of its own, in which `nir` may be of another version. Writes what each neuron
fired, or why the library does not read the graph. Each is used as its documentation says, and told
how long a step is where it asks.
"""

from __future__ import annotations

import io
import json
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import nir_graphs

Spikes = dict[str, NDArray[Any]]  # node -> (T, K), spikes or how many of them
Build = Callable[[], Any]  # makes the graph anew: some readers change it
Reader = Callable[
    [Build, float, NDArray[np.bool_]], Spikes
]  # graph, dt, spikes (T, …) of one sample


def hooked(model: Any, graph: Any) -> dict[str, list[Any]]:
    """Lists that fill with what the modules of spiking nodes give; neurons and their own weights
    may be one module.
    """
    found: dict[str, list[Any]] = {}
    modules = dict(model.named_modules())
    for name in nir_graphs.spiking_nodes(graph):
        module = next(
            (
                modules[each]
                for each in (name.replace(".", "_"), name.split(".")[0])
                if each in modules
            ),
            None,
        )
        if module is None:
            raise LookupError(
                f"no module comes of node {name!r}, a {type(graph.nodes[name]).__name__}"
            )
        given: list[Any] = []
        found[name], keep = given, given.append
        module.register_forward_hook(
            lambda _, __, out, keep=keep: keep(out[0] if isinstance(out, tuple) else out)
        )
    return found


def torch_reader(load: Callable[[Any, float], Any]) -> Reader:
    """A library whose modules are called once a step, with a state."""

    def run(build: Build, dt: float, spikes: NDArray[np.bool_]) -> Spikes:
        import torch

        model, state = load(build(), dt), None
        given = hooked(model, build())
        with torch.no_grad():
            for step in torch.from_numpy(spikes.astype(np.float32)):
                output = model(step[None], state)
                state = output[1] if isinstance(output, tuple) else None
        return {name: together(name, steps, len(spikes)) for name, steps in given.items()}

    return run


def together(name: str, steps: list[Any], count: int) -> NDArray[Any]:
    """(T, K) of what a module gave at each step."""
    if len(steps) != count:
        raise LookupError(f"calls its module of node {name!r} {len(steps)} times in {count} steps")
    return np.array([each.reshape(-1) for each in map(np.asarray, steps)])


def snntorch(graph: Any, dt: float) -> Any:
    """The reader of snnTorch: a step is 1e-4 s."""
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph)


def spikingjelly(graph: Any, dt: float) -> Any:
    """The reader of SpikingJelly."""
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph, dt=dt)


def norse(graph: Any, dt: float) -> Any:
    """The reader of Norse."""
    from norse.torch import from_nir

    return from_nir(graph, dt=dt)


def sinabs(build: Build, dt: float, spikes: NDArray[np.bool_]) -> Spikes:
    """The reader of sinabs, whose networks get all steps at once: a step is one unit of time."""
    import torch
    from sinabs.nir import from_nir

    model = from_nir(build(), batch_size=1)
    given = hooked(model, build())
    with torch.no_grad():
        model(torch.from_numpy(spikes.astype(np.float32)))
    return {
        name: together(name, [step for part in each for step in part], len(spikes))
        for name, each in given.items()
    }


def by_steps(
    neurons: Callable[[Any, float], Callable[[Any], Any]], conv: Callable[[Any], Any]
) -> Reader:
    """A library without a reader of NIR: its neurons, with the constants of nodes, between sums of
    weights.
    """

    def run(build: Build, dt: float, spikes: NDArray[np.bool_]) -> Spikes:
        graph = build()
        spiking = nir_graphs.spiking_nodes(graph)
        parts = {
            name: neurons(node, dt) if name in spiking else weighing(node, conv)
            for name, node in graph.nodes.items()
        }
        before = {name: [start for start, end in graph.edges if end == name] for name in parts}
        values: dict[str, Any] = dict.fromkeys(
            parts, 0.0
        )  # of this step, or the last, where spikes lead back
        fired: dict[str, list[Any]] = {name: [] for name in spiking}
        for step in spikes.astype(np.float64):
            for name, part in parts.items():
                values[name] = part(
                    sum((values[other] for other in before[name]), step if name == "input" else 0.0)
                )
            for name, each in fired.items():
                each.append(values[name])
        return {name: together(name, each, len(spikes)) for name, each in fired.items()}

    return run


def weighing(node: Any, conv: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The sums that a node without neurons makes; what a readout adds up is not looked at."""
    kind = type(node).__name__
    if kind in ("Input", "Output", "LI", "CubaLI"):
        return lambda x: x
    if kind in ("Affine", "Linear"):
        return lambda x: node.weight @ x + getattr(node, "bias", 0.0)
    if kind == "Scale":
        return lambda x: x * node.scale
    if kind == "Flatten":
        return lambda x: x.ravel()  # all of these graphs flatten a whole map
    if kind == "Conv2d":
        return conv(node)
    if kind == "Conv1d":
        around = (
            node.dilation * (node.weight.shape[2] - 1) // 2
            if node.padding == "same"
            else node.padding
        )
        ways = {"stride": (1, node.stride), "padding": (0, around), "dilation": (1, node.dilation)}
        of_maps = conv(
            SimpleNamespace(
                weight=node.weight[:, :, None], groups=node.groups, bias=node.bias, **ways
            )
        )
        return lambda x: of_maps(x[:, None])[:, 0]
    raise NotImplementedError(f"no process for a {kind}")


def constants(node: Any, dt: float) -> tuple[Any, Any, Any, Any, Any]:
    """Of one step of Euler: what weights are multiplied by, decays of current and membrane, bias
    and threshold.
    """
    kind = type(node).__name__
    if kind == "Threshold":
        raise NotImplementedError("no neuron without a membrane")
    if np.any(getattr(node, "v_reset", 0)):
        raise NotImplementedError(
            f"membranes are reset to 0, v_reset is {np.ravel(node.v_reset)[0]:g}"
        )
    if kind == "IF":
        return np.rint(node.r * dt), 1.0, 0.0, 0.0, node.v_threshold  # 1 in all of these graphs
    seconds = np.float32(dt)  # as the constants of nodes are rounded
    decay = seconds / (node.tau_mem if kind == "CubaLIF" else node.tau)
    synaptic = seconds / node.tau_syn if kind == "CubaLIF" else 1.0
    gain = node.r * decay * (node.w_in * synaptic if kind == "CubaLIF" else 1.0)
    return gain, synaptic, decay, node.v_leak * decay, node.v_threshold


def lava_neurons(node: Any, dt: float) -> Callable[[Any], Any]:
    """The model of LIF in floats of Lava, called as its runtime calls it."""
    from spikesam.simulators import repair_lava

    repair_lava()
    from lava.proc.lif.models import PyLifModelFloat as Model

    gain, du, dv, bias, threshold = constants(node, dt)
    zeros = np.zeros(np.shape(threshold))
    own = SimpleNamespace(u=zeros, v=zeros.copy(), du=du, dv=dv, bias_mant=bias, vth=threshold)

    def step(x: Any) -> Any:
        Model.subthr_dynamics(own, gain * x)
        fires = Model.spiking_activation(own)
        Model.reset_voltage(own, fires)
        return fires.astype(np.float64)

    return step


def lava_conv(node: Any) -> Callable[[Any], Any]:
    """The sum that Lava's Conv makes, whose kernels are flipped, with channels last."""
    from lava.proc.conv.utils import conv

    weight = np.ascontiguousarray(np.flip(node.weight, (2, 3)).transpose(0, 3, 2, 1)).astype(
        np.float64
    )
    sides = [
        tuple(np.broadcast_to(each, 2)[::-1].tolist())
        for each in (node.stride, node.padding, node.dilation)
    ]
    kernel = weight.shape[1:3]

    def send(x: Any) -> Any:
        found = conv(x.transpose(2, 1, 0), weight, kernel, *sides, int(np.ravel(node.groups)[0]))
        return found.transpose(2, 1, 0) + node.bias[:, None, None]

    return send


def slayer_neurons(node: Any, dt: float) -> Callable[[Any], Any]:
    """The CUBA neuron of lava-dl's slayer, with Loihi's integers, which learns for Lava."""
    import torch
    from lava.lib.dl.slayer.neuron.cuba import Neuron

    gain, du, dv, bias, threshold = constants(node, dt)
    if np.any(bias):
        raise NotImplementedError("no bias, and v_leak is not 0")
    several = [each for each in (threshold, du, dv) if np.ptp(each)]
    if several:
        raise NotImplementedError("one threshold and one decay for all neurons")
    numbers = (float(np.ravel(each)[0]) for each in (threshold, du, dv))
    neuron = Neuron(*numbers, persistent_state=True)
    return lambda x: neuron(
        torch.as_tensor(gain * x, dtype=torch.float32)[None, ..., None]
    ).numpy()[0, ..., 0]


READERS: dict[str, Reader] = {
    "snnTorch": torch_reader(snntorch),
    "SpikingJelly": torch_reader(spikingjelly),
    "Norse": torch_reader(norse),
    "sinabs": sinabs,
    "Lava": by_steps(lava_neurons, lava_conv),
    "lava-dl": by_steps(slayer_neurons, lava_conv),
}
DISTRIBUTIONS = {
    "snnTorch": "snntorch",
    "SpikingJelly": "spikingjelly",
    "Norse": "norse",
    "Lava": "lava-nc",
}


def in_short(error: BaseException) -> str:
    """One line that says what a library said."""
    text = " ".join(str(error).split())[:160] or type(error).__name__
    return re.sub(r"0x[0-9a-f]+", "…", f"{type(error).__name__}: {text}")


def main(library: str, path: str, limit: str = "1000") -> None:
    """Run the first graphs; write spikes as arrays called number/sample/node, and as JSON versions
    and refusals.
    """
    arrays: dict[str, NDArray[Any]] = {}
    refused: dict[int, str] = {}
    for number, example in islice(enumerate(nir_graphs.examples()), int(limit)):
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            try:
                found = [
                    READERS[library](example.build, example.dt, spikes)
                    for spikes in example.spikes()
                ]
            except (
                Exception
            ) as error:  # whatever a library raises about a graph is said in the table
                refused[number] = in_short(error)
                continue
        arrays |= {
            f"{number}/{at}/{node}": fired
            for at, each in enumerate(found)
            for node, fired in each.items()
        }
    versions = {
        name: metadata.version(name)
        for name in (DISTRIBUTIONS.get(library, library), "nir", "nirtorch")
    }
    about = json.dumps({"versions": versions, "refused": refused})
    np.savez(path, about=np.array(about), **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
