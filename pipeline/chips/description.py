"""The description of a chip that SANA-FE brings: its mesh, energy and time of each operation.

The file is read as data; SANA-FE is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spikesam.common.errors import InputError
from spikesam.common.files import read_file

CHIPS = ("loihi",)
LACKS = "chip: needs sanafe, which is not installed; pip install 'spikesam[chip]'"
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Price:
    """Energy in J and time in s of one operation."""

    joules: float
    seconds: float


@dataclass(frozen=True)
class ChipDescription:
    """A chip of equal cores on a mesh of tiles.

    Parameters
    ----------
    width, height : tiles of the mesh; tile n is at x = n // height, y = n % height
    cores_per_tile, capacity : cores of a tile, neurons of a core
    access, update, fire : of a neuron: at each step, at each step of a neuron that is not played
        in, and of each spike
    synapse : of one synaptic operation, by the kind of the synapses
    send, receive : of a message to one core, and at it
    hops : of a message over one tile to the "east", "west", "north", "south"
    version : of SANA-FE
    """

    width: int
    height: int
    cores_per_tile: int
    capacity: int
    access: Price
    update: Price
    fire: Price
    synapse: Mapping[str, Price]
    send: Price
    receive: Price
    hops: Mapping[str, Price]
    version: str

    @property
    def cores(self) -> int:
        """Cores of the chip."""
        return self.width * self.height * self.cores_per_tile

    def place(self, core: int) -> tuple[int, int]:
        """(x, y) of the tile of a core."""
        return divmod(core // self.cores_per_tile, self.height)


def description_of(chip: str) -> ChipDescription:
    """The description of a chip; an InputError if there is none of that name, or no SANA-FE."""
    if chip not in CHIPS:
        raise InputError(f"got {chip!r}, expected one of {', '.join(CHIPS)}", argument="chip")
    package = find_spec("sanafe")
    if package is None or package.origin is None or find_spec("yaml") is None:
        raise InputError(LACKS)
    import yaml  # an extra

    path = Path(package.origin).parent / "examples" / f"{chip}.yaml"
    try:
        described = yaml.safe_load(read_file(path, MOST_BYTES))["architecture"]
        return _description(described, version("sanafe"))
    except (
        *(KeyError, TypeError, ValueError, IndexError, StopIteration),
        *(yaml.YAMLError, PackageNotFoundError),
    ) as error:
        raise InputError(
            f"{path}: is not the description of SANA-FE 2.2.9 (no {error}); install that version"
        ) from None


def _description(described: dict[str, Any], installed: str) -> ChipDescription:
    mesh, tile = described["attributes"], described["tile"][0]
    core = tile["core"][0]

    def unit(part: str, name: str) -> dict[str, Any]:
        return next(entry["attributes"] for entry in core[part] if entry["name"] == name)

    def price(attributes: dict[str, Any], operation: str) -> Price:
        return Price(
            float(attributes[f"energy_{operation}"]), float(attributes[f"latency_{operation}"])
        )

    soma = unit("soma", "loihi_lif")
    return ChipDescription(
        width=int(mesh["width"]),
        height=int(mesh["height"]),
        cores_per_tile=_count(core["name"]),
        capacity=int(core["attributes"]["max_neurons_supported"]),
        access=price(soma, "access_neuron"),
        update=price(soma, "update_neuron"),
        fire=price(soma, "spike_out"),
        synapse={
            kind: price(unit("synapse", f"loihi_{kind}_synapse"), "process_spike")
            for kind in ("conv", "dense", "sparse")
        },
        send=price(unit("axon_out", "loihi_out"), "message_out"),
        receive=price(unit("axon_in", "loihi_in"), "message_in"),
        hops={
            way: price(tile["attributes"], f"{way}_hop")
            for way in ("east", "west", "north", "south")
        },
        version=installed,
    )


def _count(name: str) -> int:
    """The number of parts that "loihi_core[0..3]" stands for: 4."""
    first, last = name.partition("[")[2].rstrip("]").split("..")
    return int(last) - int(first) + 1
