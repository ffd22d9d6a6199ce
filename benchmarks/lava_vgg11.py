"""Time full-width VGG11 on the Lava backend, from input spikes to the raster file on disk.

    python -m benchmarks.lava_vgg11 --samples 8 --out lava_vgg11.json

Weights are random; the gain of every layer is set so that about `rate` of its neurons spike in a step. Run it on an
otherwise idle machine.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.table import Table

from backends.kernels import add_conv, compile_kernels, step_float
from backends.lava import LavaBackend
from backends.network import LIF, Layer, Network, Readout
from backends.quantise import quantise
from pipeline.cli.command_line import parse_command
from pipeline.cli.errors import exit_codes
from pipeline.config import Section
from recordings.digest import spike_counts
from recordings.schema import LayerSpec, RasterHeader, SampleTable
from recordings.writer import RasterWriter

from .environment import commit, machine

LEAK = 0.95
# (output channels, pooling in front); then the dense layers
CONVOLUTIONS = ((64, 1), (128, 2), (256, 2), (256, 1), (512, 2), (512, 1), (512, 2), (512, 1))
HIDDEN, CLASSES, LAST_POOL = 4096, 200, 4


class Options(Section):
    """What to time."""

    samples: int = Field(8, ge=2, description="samples to simulate; the first is not timed")
    timesteps: int = Field(30, ge=12, description="steps per sample")
    size: int = Field(64, ge=64, multiple_of=64, description="height and width of the input")
    rate: float = Field(0.1, gt=0, lt=1, description="share of neurons that spike in a step, in every layer")
    models: Literal["event", "stock"] = Field(
        "event", description="of Lava's Conv and Dense: this project's, or those Lava comes with (seconds per step)"
    )
    seed: int = Field(0, ge=0, description="of the weights and the input")
    out: Path | None = Field(None, description="file for the result (JSON)")


def tuned_vgg11(options: Options) -> Network:
    """VGG11 of random weights in which each layer spikes at `options.rate`, once its input has arrived."""
    rng = np.random.default_rng(options.seed)
    compile_kernels("float32")
    shape = (6, options.size, options.size)
    raster = next(input_batches(options, 1))[:, 0].transpose(0, 2, 3, 1)
    layers = []
    for number, (outputs, pool) in enumerate((*CONVOLUTIONS, (HIDDEN, LAST_POOL)), start=1):
        convolution = number <= len(CONVOLUTIONS)
        inputs = raster.shape[-1] * (1 if convolution else raster[0, ::pool, ::pool, 0].size)
        weight = rng.standard_normal((outputs, inputs, 3, 3) if convolution else (outputs, inputs), np.float32)
        name = f"conv{number}" if convolution else f"fc{number}"
        layer = Layer(name, weight, LIF(LEAK), pool, padding=int(convolution))
        current = currents(layer, raster, layer.output_shape(shape))
        gain, raster = tuned_gain(current, options.rate, first=number)
        layers.append(Layer(name, weight, LIF(LEAK, gain=gain), pool, padding=int(convolution)))
        shape = layer.output_shape(shape)
    readout = Readout(rng.standard_normal((CLASSES, HIDDEN), np.float32))
    return Network((6, options.size, options.size), options.timesteps, tuple(layers), readout)


def currents(layer: Layer, raster: NDArray[np.bool_], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """(T, H, W, C) currents one step after the (T, H, W, C) spikes that cause them."""
    channels, height, width = shape
    current = np.zeros((len(raster), height, width, channels), np.float32)
    if layer.kind == "conv":
        blocks = np.ascontiguousarray(layer.weight.transpose(1, 2, 3, 0)) / np.float32(layer.pool**2)
        for t in range(1, len(raster)):
            add_conv(np.ascontiguousarray(raster[t - 1]), blocks, 1, layer.padding, layer.pool, current[t])
        return current
    blocks = np.ascontiguousarray(layer.weight.T)
    for t in range(1, len(raster)):
        rows, columns, inputs = raster.shape[1:]
        pooled = raster[t - 1].reshape(rows // layer.pool, layer.pool, columns // layer.pool, layer.pool, inputs)
        current[t] = pooled.mean(axis=(1, 3), dtype=np.float32).transpose(2, 0, 1).ravel() @ blocks
    return current


def tuned_gain(current: NDArray[np.float32], rate: float, first: int) -> tuple[float, NDArray[np.bool_]]:
    """The gain at which neurons spike at `rate` from step `first` on, and their (T, H, W, C) spikes."""
    channels = current.shape[-1]
    zero = np.zeros(channels, np.float32)
    low, high = 1e-6, 1e2
    while high / low > 1.02:
        gain = (low * high) ** 0.5
        membrane = np.zeros((current[0].size // channels, channels), np.float32)
        spikes = np.zeros(membrane.shape, np.bool_)
        raster = np.zeros((len(current), *membrane.shape), np.bool_)
        for t in range(1, len(current)):
            row = np.full(channels, gain, np.float32)
            step_float(current[t].reshape(-1, channels), row, zero, np.float32(LEAK), np.float32(1), membrane, spikes)
            raster[t] = spikes
        low, high = (gain, high) if raster[first:].mean() < rate else (low, gain)
    return gain, raster.reshape(current.shape)


def input_batches(options: Options, samples: int) -> Iterator[NDArray[np.bool_]]:
    """Random input, one sample at a time: a fifth of the ON and OFF planes spike."""
    for sample in range(samples):
        rng = np.random.default_rng((options.seed, sample))
        yield rng.random((options.timesteps, 1, 6, options.size, options.size), np.float32) < 0.2


class MemoryWatch:
    """The largest proportional set size of this process and its descendants, looked at every two seconds."""

    def __init__(self) -> None:
        self.largest = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(2):
            self.largest = max(self.largest, sum(map(proportional_set_size, family(os.getpid()))))


def family(root: int) -> set[int]:
    """A process and all its descendants."""
    parents = {int(entry.name): parent(entry) for entry in Path("/proc").glob("[0-9]*")}
    members = {root}
    while more := {pid for pid, above in parents.items() if above in members} - members:
        members |= more
    return members


def parent(entry: Path) -> int | None:
    """The parent of a process in /proc, None if it has ended meanwhile."""
    try:
        return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def proportional_set_size(pid: int) -> int:
    """Bytes of memory of a process, shared pages divided among those that share them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def header(network: Network, backend: LavaBackend, options: Options) -> RasterHeader:
    """What the raster file says about this run."""
    kinds = [
        ("input", 0.0, 0.0),
        *((layer.kind, float(layer.neuron.threshold), layer.neuron.leak) for layer in network.layers),
    ]
    return RasterHeader(
        backend=backend.name,
        device=backend.device,
        precision=network.precision,
        timesteps=network.timesteps,
        dt=1e-3,
        seed=options.seed,
        network_sha256=network.sha256,
        dataset="random",
        config="{}",
        layers=tuple(
            LayerSpec(name, shape, kind, threshold, leak)
            for name, shape, (kind, threshold, leak) in zip(
                network.raster_names, network.raster_shapes, kinds, strict=True
            )
        ),
        classes=network.classes,
        readout_scale=network.readout.scale,
    )


def measure(options: Options) -> dict[str, Any]:
    """Simulate and record; times in seconds, memory in bytes."""
    computer = machine()
    network = quantise(tuned_vgg11(options))
    backend = LavaBackend(options.models)
    counts = dict.fromkeys(network.raster_names, 0)
    samples = SampleTable(np.arange(options.samples), np.full(options.samples, -1))
    with tempfile.TemporaryDirectory() as folder, MemoryWatch() as memory:
        writer = RasterWriter(Path(folder), header(network, backend, options), samples)
        begin = time.perf_counter()
        finished = []
        for batch in backend.run(network, input_batches(options, options.samples), options.samples):
            writer.append(batch)
            finished.append(time.perf_counter())
            for name, packed in batch.spikes.items():
                counts[name] += int(spike_counts(packed).sum())
        writer.finalize()
        end = time.perf_counter()
    bits = options.samples * network.timesteps
    return {
        "options": options.model_dump(mode="json"),
        "machine": computer,
        "commit": commit(),
        "seconds_to_first_sample": finished[0] - begin,
        "seconds_per_step": (end - finished[0]) / ((options.samples - 1) * network.timesteps),
        "largest_memory": memory.largest,
        "spike_rate": {
            name: counts[name] / (bits * int(np.prod(shape)))
            for name, shape in zip(network.raster_names, network.raster_shapes, strict=True)
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print the result as a table."""
    options, computer = result["options"], result["machine"]
    table = Table("quantity", "value", title=f"VGG11 on Lava at {options['size']}×{options['size']}")
    table.add_row("models of Conv and Dense", options["models"])
    table.add_row("samples × steps", f"{options['samples']} × {options['timesteps']}")
    table.add_row("per step, recording included", f"{1000 * result['seconds_per_step']:.1f} ms")
    table.add_row("to the first sample", f"{result['seconds_to_first_sample']:.1f} s")
    table.add_row("memory (PSS) of all processes", f"{result['largest_memory'] / 1e9:.2f} GB")
    for name, rate in result["spike_rate"].items():
        table.add_row(f"spike rate of {name}", f"{100 * rate:.1f} %")
    table.add_row("processor", f"{computer['cpu']}, {computer['cores']} cores, load {computer['load_before']:.2f}")
    table.add_row("commit", result["commit"])
    Console().print(table)


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = parse_command(Options, argv, prog="python -m benchmarks.lava_vgg11", description=__doc__ or "")
    result = measure(options)
    show(result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
