"""A recording on the model of a chip: its spikes compared, its time and energy as tables."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.common.text import printable, shorten
from spikesam.common.warning import warn
from spikesam.pipeline.chips._circuit import (
    BIAS,
    EDITED,
    Circuit,
    circuit_of,
    refuse_missing_parts,
)
from spikesam.pipeline.chips._ledger import PARTS, ChipCost, ChipLedger
from spikesam.pipeline.chips._process import Simulated, simulate_on_chip
from spikesam.pipeline.chips.description import ChipDescription, description_of
from spikesam.pipeline.chips.mapping import LONGEST_GROUP, Placed, placed
from spikesam.pipeline.chips.result_file import NAME, refuse_other, write_result
from spikesam.pipeline.comparison.pair import Bit
from spikesam.pipeline.cost.energy import in_joules, in_short
from spikesam.pipeline.drawing.notebook import Shown, png_of
from spikesam.pipeline.edits.edit import edited_layers
from spikesam.pipeline.engine.simulate import simulate
from spikesam.pipeline.networks.recorded import is_network, loaded_network, with_network
from spikesam.recordings.raster.reader import RasterReader, opened_raster

if TYPE_CHECKING:
    from spikesam.pipeline.networks.checkpoint import Checkpoint

AGREED = 1e-6  # relative difference of our sum and SANA-FE's, which adds in another order
SECONDS = ("ns", "µs", "ms", "s")


@dataclass(frozen=True, eq=False)
class Chip(Shown):
    """A recording on the model of a chip, which `print` shows. Numbers are means of the samples.

    Parameters
    ----------
    layers : a row for each group of neurons, in order of depth, with the columns

        - layer: its name; "bias" of the sources of biases, "readout", relays of delayed spikes, or
          what drives an edited layer
        - cores, neurons, synapses: on which so many; synapses are those that drive it
        - spikes, differing: of a sample; bits that differ from the recording, NaN if it has none
        - synapse, soma, network, joules: J of its synapses, its neurons, its messages, and of all
        - busiest, busy: its core with the most work, and the seconds that takes in a step

    steps : step, seconds, joules
    samples : sample, seconds, joules
    layer_steps, layer_samples : layer, step or sample, spikes, synapse, soma, network, joules
    cores : core, x, y (of its tile), layers, neurons, sent, received (messages), busy (seconds of a
        step)
    mapping : layer, core, neurons
    first : the first spike that differs, which fires on the model of the chip or in the recording;
        None if none does
    bits, compared : how many bits differ, of how many
    chip, version : name of the chip, and version of SANA-FE
    cores_per_tile : of the chip
    """

    layers: pd.DataFrame
    steps: pd.DataFrame
    samples: pd.DataFrame
    layer_steps: pd.DataFrame
    layer_samples: pd.DataFrame
    cores: pd.DataFrame
    mapping: pd.DataFrame
    first: Bit | None
    bits: int
    compared: int
    chip: str
    version: str
    cores_per_tile: int

    @property
    def joules(self) -> float:
        """J of a sample."""
        return float(self.samples["joules"].mean())

    @property
    def seconds(self) -> float:
        """Seconds of a sample."""
        return float(self.samples["seconds"].mean())

    def __repr__(self) -> str:
        """One line: what a sample takes."""
        return (
            f"<Chip: a model of {self.chip.capitalize()}; a sample takes "
            f"{in_seconds(self.seconds)} and {in_joules(self.joules)}; {self._agreement()}>"
        )

    def _agreement(self) -> str:
        if self.first is None:
            return f"0 of {self.compared:,} bits differ from the recording"
        first = self.first
        has = "fires on the model alone" if first.fired else "fires in the recording alone"
        return (
            f"{self.bits:,} of {self.compared:,} bits differ from the recording, the first in "
            f"layer {first.layer!r}, sample {first.sample}, step {first.step}: "
            f"neuron {first.neuron} {has}"
        )

    def _parts(self) -> list[Any]:
        busiest = self.cores.loc[self.cores["busy"].idxmax()]
        step = in_seconds(self.steps["seconds"].mean())
        return [
            chip_table(self),
            "",
            f"On a model of {self.chip.capitalize()} (SANA-FE {self.version}), not on silicon: "
            f"a sample takes {in_seconds(self.seconds)} and {in_joules(self.joules)}.",
            f"{self._agreement()[0].upper()}{self._agreement()[1:]}.",
            f"Slowest: core {busiest['core']} ({busiest['layers']}), busy for "
            f"{in_seconds(busiest['busy'])} of a step of {step}.",
            "The readout only adds up; its bias is left to whoever reads it.",
        ]

    def _picture(self) -> bytes:
        return png_of(lambda path: draw_chip(self, path))


@checked_arguments
def chip(
    source: RasterReader | Network | Checkpoint | str | PathLike[str],
    data: Any = None,
    *,
    network: Network | Checkpoint | str | PathLike[str] | None = None,
    samples: int | None = None,
    seed: int = 0,
    timesteps: int | None = None,
    chip: str = "loihi",
    mapping: Any = None,
) -> Chip:
    """Simulate a recording, or a network and its input, on a model of a chip: the same spikes, and
    what they cost.

    The network is built from its own float32 weights on SANA-FE's model of Loihi, its recorded
    input is played in, and the spikes of every layer are compared with the recording. Without a
    recording, the network is first simulated here. SANA-FE runs in a process of its own; nothing
    here has run on silicon. The folder of a run receives `chip.json`, which :func:`report` shows.

    Parameters
    ----------
    source : an open raster, or the path of a raster file or of a run's folder, in float32, perhaps
        of :func:`edit`; or a network: an import, a checkpoint, its bundled name or its file
    data : of a network what :func:`simulate` takes, 8 samples of the set that needs no download if
        not given, or an open raster that it fired; nothing of a raster
    network : of a raster, the network that fired the spikes; if not given, the
        `network.safetensors` beside the raster
    samples, seed : of a network, as :func:`simulate` takes them
    timesteps : of a network, other steps than its own; T ≥ 1
    chip : "loihi"
    mapping : layer -> numbers of the cores that hold it, or a CSV file of lines `layer,core`;
        layers that it does not name get the first free cores, as few as hold them

    Returns
    -------
    Chip

    Raises
    ------
    InputError : if a part of the network does not fit on the chip, the mapping names no layer, the
        raster is not of this network, an edit lets a layer fire at step 0, SANA-FE is not installed
        or ends without an answer, or its energies are not those of the recorded operations

    References
    ----------
    Boyle et al. 2025, SANA-FE, IEEE TCAD, doi:10.1109/TCAD.2025.3537971; energies and times of
    Davies et al. 2018, Loihi, IEEE Micro 38(1), doi:10.1109/MM.2018.112130359.
    """
    description = description_of(chip)
    folder, recording = None, ""
    if isinstance(data, RasterReader) and is_network(source):
        fired_by: Any = source
        source, data, network = data, None, fired_by
    with ExitStack() as resources:
        if is_network(source):
            if network is not None:
                raise InputError("network: belongs to a raster, got a network as the source")
            loaded = _with_steps(source, timesteps)
            known_network = loaded if isinstance(loaded, Network) else loaded.network
            circuit = circuit_of(known_network)  # what does not fit is refused at once
            cores = placed(circuit.groups, description, mapping)
            reader = resources.enter_context(
                simulate(
                    loaded,
                    data,
                    samples=samples,
                    seed=seed,
                    precision="float32",
                    backend="event",
                )
            )
        else:
            of_network = {"data": data, "samples": samples, "seed": seed or None}
            of_network["timesteps"] = timesteps
            for argument, value in of_network.items():
                if value is not None:
                    raise InputError(
                        "belongs to a network, got a raster, whose spikes are recorded",
                        "; give its network by {network}",
                        argument=argument,
                    )
            if isinstance(source, (str, PathLike)) and Path(source).is_dir():
                folder = Path(source)
                refuse_other(folder)
            opened = resources.enter_context(opened_raster(source))
            recording = opened.raster_digest
            reader, known_network = with_network(opened, network)
            circuit = circuit_of(known_network, edited=edited_layers(reader))
            cores = placed(circuit.groups, description, mapping)
        recorded = {
            layer.name: _all_samples(reader, layer.name)
            for layer in reader.layers
            if layer.name in circuit.groups
        }
        played = _played(circuit, recorded)
        simulated = simulate_on_chip(circuit, cores, played)
        ledger = ChipLedger(circuit, description, cores)
        spent = [
            ledger.sample({name: spikes[sample] for name, spikes in simulated.spikes.items()})
            for sample in range(reader.n_samples)
        ]
        _check_sums(simulated, spent)
        shapes = {layer.name: layer.shape for layer in reader.layers}
        result = _tables(circuit, description, cores, simulated, spent, recorded, shapes, chip)
        if folder is not None:
            try:
                write_result(folder, recording, result)
            except OSError as error:  # such as of somebody else's folder
                warn(f"chip: {folder / NAME} is not written ({printable(error)})")
        return result


def _with_steps(source: Any, timesteps: int | None) -> Network | Checkpoint:
    """A network or a checkpoint, with other steps than its own if there are some."""
    loaded = loaded_network(
        source, "source: got {}, expected a raster, a network, a checkpoint, its name or its file"
    )
    if timesteps is None:
        return loaded
    if isinstance(loaded, Network):
        return network_of_steps(loaded, timesteps)
    return replace(loaded, network=network_of_steps(loaded.network, timesteps))


def network_of_steps(network: Network, timesteps: int) -> Network:
    """A network with other steps than its own. Its biases and gains go on as they end; an
    InputError if they have not settled by then.
    """
    refuse_missing_parts(network)  # named before steps that would not help
    layers = []
    for layer in network.layers:
        at_layer = f"layer {layer.name!r}"
        inputs = tuple(
            replace(layer_input, gain=_rows(layer_input.gain, at_layer, timesteps))
            for layer_input in layer.inputs
        )
        neuron = layer.spiking_neuron
        neuron = replace(neuron, bias=_rows(neuron.bias, at_layer, timesteps))
        layers.append(replace(layer, inputs=inputs, neuron=neuron))
    readout = network.readout
    if readout.bias is not None:
        readout = replace(readout, bias=_rows(readout.bias, "the readout", timesteps))
    window = network.window
    if window is not None:
        window += timesteps - network.timesteps
    with at("timesteps"):
        return replace(
            network, layers=tuple(layers), readout=readout, timesteps=timesteps, window=window
        )


def _rows(values: NDArray[Any], part: str, timesteps: int) -> NDArray[Any]:
    """The bias or gain (T or 1, C) of a part of a network, for other steps than its own."""
    if len(values) == 1:
        return values
    changes = np.flatnonzero((values[1:] != values[:-1]).any(axis=1))
    settled = int(changes.max(initial=-1)) + 1  # the first step from which it is always the same
    if settled == len(values) - 1:
        raise InputError(
            f"{part} has a bias or a gain that changes until its last step: nothing says how it "
            "goes on",
            argument="timesteps",
        )
    if timesteps <= settled:
        raise InputError(
            f"got {timesteps}, expected at least {settled + 1}: {part} has a bias or a gain that "
            f"changes until step {settled}",
            argument="timesteps",
        )
    return values[np.minimum(np.arange(timesteps), settled)]


def _played(
    circuit: Circuit, recorded: dict[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.bool_]]:
    """The spikes (N, T, neurons) of each group that is played in, of those of the layers."""
    of_edits = {EDITED.format(name): name for name in recorded}
    played = dict[str, NDArray[np.bool_]]()
    for name, group in circuit.groups.items():
        if not group.played:
            continue
        if name == BIAS:
            samples = len(next(iter(recorded.values())))
            played[name] = np.broadcast_to(
                circuit.bias_spikes, (samples, *circuit.bias_spikes.shape)
            )
        elif name in of_edits:
            spikes = recorded[of_edits[name]]
            if spikes[:, 0].any():
                raise InputError(
                    f"layer {of_edits[name]!r}: the edit lets it fire at step 0, when nothing has "
                    "reached it on the chip; leave step 0 out of the edit"
                )
            played[name] = np.concatenate([spikes[:, 1:], np.zeros_like(spikes[:, :1])], axis=1)
        else:
            played[name] = recorded[name]
    if not played:
        raise InputError("network: has no input that could be played in")
    return played


def _all_samples(raster: RasterReader, layer: str) -> NDArray[np.bool_]:
    """The spikes (N, T, neurons) of a layer."""
    samples = [raster[layer][sample] for sample in range(raster.n_samples)]
    return np.stack([spikes.reshape(len(spikes), -1) for spikes in samples])


def _check_sums(simulated: Simulated, spent: list[ChipCost]) -> None:
    """Refuse joules of SANA-FE that are not those of the spikes, at any step."""
    for part in PARTS:
        ours = np.array([of_sample.total(part) for of_sample in spent])
        theirs = simulated.joules[part]
        wrong = np.argwhere(~np.isclose(ours, theirs, rtol=AGREED, atol=1e-15))
        if len(wrong):
            sample, step = map(int, wrong[0])
            raise InputError(
                f"chip: SANA-FE counts {in_joules(theirs[sample, step])} of {part} in sample "
                f"{sample}, step {step}, expected {in_joules(ours[sample, step])} of its spikes; "
                "install the version that was tested, 2.2.9"
            )


def _tables(
    circuit: Circuit,
    description: ChipDescription,
    cores: Placed,
    simulated: Simulated,
    spent: list[ChipCost],
    recorded: dict[str, NDArray[np.bool_]],
    shapes: dict[str, tuple[int, int, int]],
    chip_name: str,
) -> Chip:
    """Gather what was simulated into tables."""
    busy = np.mean([of_sample.busy.mean(axis=0) for of_sample in spent], axis=0)
    rows = []
    for name, group in circuit.groups.items():
        joules = {
            part: float(np.mean([of_sample.joules[name][part].sum() for of_sample in spent]))
            for part in PARTS
        }
        on_cores = np.unique(cores[name])
        busiest = int(on_cores[busy[on_cores].argmax()])
        differing = np.nan
        if name in recorded and not group.played:
            differing = float((simulated.spikes[name] != recorded[name]).sum()) / len(spent)
        rows.append(
            {
                "layer": name,
                "cores": len(on_cores),
                "neurons": group.size,
                "synapses": sum(
                    len(part.weights) for part in circuit.synapses if part.target == name
                ),
                "spikes": float(simulated.spikes[name].sum()) / len(spent),
                "differing": differing,
                **joules,
                "joules": sum(joules.values()),
                "busiest": busiest,
                "busy": float(busy[busiest]),
            }
        )
    first, bits, compared = _first_difference(circuit, simulated, recorded, shapes)
    steps, total = simulated.seconds.shape[1], simulated.joules["total"]
    mapped = [
        {"layer": name, "core": int(core), "neurons": int(neurons)}
        for name, of_group in cores.items()
        for core, neurons in zip(*np.unique(of_group, return_counts=True), strict=True)
    ]
    return Chip(
        layers=pd.DataFrame(rows),
        steps=pd.DataFrame(
            {
                "step": range(steps),
                "seconds": simulated.seconds.mean(axis=0),
                "joules": total.mean(axis=0),
            }
        ),
        samples=pd.DataFrame(
            {
                "sample": range(len(spent)),
                "seconds": simulated.seconds.sum(axis=1),
                "joules": total.sum(axis=1),
            }
        ),
        layer_steps=_by_layer("step", simulated, spent),
        layer_samples=_by_layer("sample", simulated, spent),
        cores=_core_table(description, cores, spent, busy),
        mapping=pd.DataFrame(mapped),
        first=first,
        bits=bits,
        compared=compared,
        chip=chip_name,
        version=description.version,
        cores_per_tile=description.cores_per_tile,
    )


def _by_layer(axis: str, simulated: Simulated, spent: list[ChipCost]) -> pd.DataFrame:
    """Spikes and J of each group by "step", the mean of the samples, or by "sample"."""

    def along(numbers: NDArray[Any]) -> NDArray[Any]:
        """Of numbers (N, T)."""
        return numbers.mean(axis=0) if axis == "step" else numbers.sum(axis=1)

    tables = []
    for name, spikes in simulated.spikes.items():
        parts = {
            part: along(np.array([of_sample.joules[name][part] for of_sample in spent]))
            for part in PARTS
        }
        fired = along(spikes.sum(axis=2))
        columns = {"layer": name, axis: range(len(fired)), "spikes": fired, **parts}
        tables.append(pd.DataFrame({**columns, "joules": np.sum([*parts.values()], axis=0)}))
    return pd.concat(tables, ignore_index=True)


def _core_table(
    description: ChipDescription, cores: Placed, spent: list[ChipCost], busy: NDArray[np.float64]
) -> pd.DataFrame:
    """A row for each core that holds neurons."""
    sent, received = (
        np.mean([getattr(of_sample, way).sum(axis=0) for of_sample in spent], axis=0)
        for way in ("sent", "received")
    )
    holds = {core: list[str]() for core in range(description.cores)}
    neurons = np.zeros(description.cores, np.int64)
    for name, of_group in cores.items():
        for core, count in zip(*np.unique(of_group, return_counts=True), strict=True):
            holds[int(core)].append(name)
            neurons[core] += count
    return pd.DataFrame(
        [
            {
                "core": core,
                **dict(zip("xy", description.place(core), strict=True)),
                "layers": shorten(names),
                "neurons": int(neurons[core]),
                "sent": float(sent[core]),
                "received": float(received[core]),
                "busy": float(busy[core]),
            }
            for core, names in holds.items()
            if names
        ]
    )


def _first_difference(
    circuit: Circuit,
    simulated: Simulated,
    recorded: dict[str, NDArray[np.bool_]],
    shapes: dict[str, tuple[int, int, int]],
) -> tuple[Bit | None, int, int]:
    """The first spike that differs, by sample, step and depth; how many do,
    of how many compared.
    """
    compared, bits = 0, 0
    places = []
    for depth, (name, spikes) in enumerate(recorded.items()):
        if circuit.groups[name].played:
            continue
        compared += spikes.size
        wrong = simulated.spikes[name] != spikes
        bits += int(wrong.sum())
        if wrong.any():
            sample, step, number = map(int, np.argwhere(wrong)[0])
            places.append((sample, step, depth, number, name))
    if not places:
        return None, bits, compared
    sample, step, _, number, name = min(places)
    channel, row, column = map(int, np.unravel_index(number, shapes[name]))
    fired = bool(simulated.spikes[name][sample, step, number])
    return Bit(name, sample, step, (channel, row, column), fired), bits, compared


def chip_table(result: Chip) -> pd.DataFrame:
    """A row for each group, and one for all, as people read them."""
    numbers = ["cores", "neurons", "synapses", "spikes"]
    rows = result.layers.to_dict("records")
    sums = {"layer": "all", **result.layers.drop(columns="layer").sum()}
    sums["cores"] = len(result.cores)
    table = [
        [printable(row["layer"], LONGEST_GROUP), str(int(row["cores"]))]
        + [in_short(row[name]) for name in numbers[1:]]
        + [in_joules(row[part]) for part in (*PARTS, "joules")]
        + [in_seconds(row["busy"]) if row["layer"] != "all" else ""]
        for row in (*rows, sums)
    ]
    heads = ["layer", *numbers, *PARTS, "energy", "busy"]
    return pd.DataFrame(table, columns=heads)


def in_seconds(seconds: float) -> str:
    """Such as "196 µs"."""
    power = 0
    while seconds * 1e9 / 1000.0**power >= 999.5 and power < len(SECONDS) - 1:
        power += 1
    return f"{seconds * 1e9 / 1000.0**power:.3g} {SECONDS[power]}"


def draw_chip(result: Chip, path: Path) -> None:
    """Draw the mesh of cores: how long each works in a step, and how many messages reach it."""
    from spikesam.pipeline.drawing.chip import draw_mesh  # matplotlib takes a second

    draw_mesh(
        path,
        f"A sample takes {in_seconds(result.seconds)} and {in_joules(result.joules)}",
        f"On a model of {result.chip.capitalize()} (SANA-FE {result.version}), not on silicon.",
        result.cores,
        result.cores_per_tile,
    )
