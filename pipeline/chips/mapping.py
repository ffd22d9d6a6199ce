"""The cores of a chip that hold each neuron: a table that a person can change, or as few cores as
hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.common.errors import InputError, did_you_mean
from spikesam.common.files import read_file
from spikesam.common.text import LONGEST_NAME, printable, shorten
from spikesam.pipeline.chips._circuit import Group
from spikesam.pipeline.chips.description import ChipDescription

Cores = Mapping[str, Sequence[int]] | str | PathLike[str]
Placed = dict[str, NDArray[np.int64]]
HEADER = "layer,core"
LONGEST_GROUP = 32  # characters of a name in a table: "block2_shortcut, 3 steps later"
MOST_BYTES = 1 << 20


Groups = Mapping[str, Group]


def placed(groups: Groups, chip: ChipDescription, mapping: Cores | None = None) -> Placed:
    """The core of each neuron of each group.

    A layer's neurons are spread evenly over its cores, in order. A group that the mapping does not
    name gets the first cores that are free, as few as hold it.

    Raises
    ------
    InputError : if the mapping names none of the groups or no core of the chip, or a core
        holds too many neurons
    """
    cores_of = dict[str, Sequence[int]]() if mapping is None else _named(mapping, groups, chip)
    free = iter(
        sorted({*range(chip.cores)} - {core for cores in cores_of.values() for core in cores})
    )
    for name, group in groups.items():
        if name not in cores_of:
            needed = -(-group.size // chip.capacity)
            cores_of[name] = list(islice(free, needed))
            if len(cores_of[name]) < needed:
                sizes = [f"{name}: {group.size:,}" for name, group in groups.items()]
                raise InputError(
                    f"network: {name!r} finds no free core; the chip has {chip.cores} cores of "
                    f"{chip.capacity:,} neurons, and the network has neurons {shorten(sizes)}"
                )
    cores_by_group = {
        name: np.asarray(cores_of[name])[_spread(group.size, len(cores_of[name]))]
        for name, group in groups.items()
    }
    loads = np.bincount(np.concatenate(list(cores_by_group.values())), minlength=chip.cores)
    full = int(loads.argmax())
    if loads[full] > chip.capacity:
        holds = [name for name, cores in cores_by_group.items() if (cores == full).any()]
        raise InputError(
            f"core {full} would hold {loads[full]:,} neurons of {shorten(holds)}, expected at most "
            f"{chip.capacity:,}; give these layers more cores",
            argument="mapping",
        )
    return cores_by_group


def mapping_lines(mapping: pd.DataFrame) -> str:
    """The CSV of a table of layer and core, which :func:`placed` reads."""
    pairs = [f"{row.layer},{row.core}" for row in mapping.itertuples()]
    return "\n".join([HEADER, *pairs, ""])


def _spread(size: int, cores: int) -> NDArray[np.int64]:
    """The place among its cores of each neuron of a layer."""
    return np.arange(size) * cores // max(size, 1)


def _named(mapping: Cores, groups: Groups, chip: ChipDescription) -> dict[str, Sequence[int]]:
    """The cores of each layer that a mapping names, checked."""
    if isinstance(mapping, (str, PathLike)):
        place, mapping = str(mapping), _read(Path(mapping))
    else:
        place = "mapping"
    cores_of = dict[str, Sequence[int]]()
    for name, cores in mapping.items():
        if name not in groups:
            near = did_you_mean(str(name), [*groups])
            raise InputError(
                f"{place}: names no layer {printable(repr(name), LONGEST_NAME)}, expected some of "
                f"{shorten([*groups], 20)}{near}"
            )
        numbers = list(cores) if isinstance(cores, Sequence) and not isinstance(cores, str) else []
        valid = [
            core
            for core in numbers
            if isinstance(core, int) and not isinstance(core, bool) and 0 <= core < chip.cores
        ]
        if not numbers or len({*valid}) < len(numbers):
            raise InputError(
                f"{place}: cores of {name!r} are {printable(repr(cores), LONGEST_NAME)}, expected "
                f"different whole numbers from 0 to {chip.cores - 1}"
            )
        cores_of[name] = valid
    return cores_of


def _read(path: Path) -> dict[str, list[int]]:
    """The cores of each layer of a CSV file with a line for each core of each layer."""
    try:
        header, *lines = read_file(path, MOST_BYTES).decode().splitlines()
        if header.strip() != HEADER:
            raise ValueError
        cores_of = dict[str, list[int]]()
        for name, _, core in (line.rpartition(",") for line in lines if line.strip()):
            cores_of.setdefault(name, []).append(int(core))
    except ValueError:
        raise InputError(
            f"{path}: is no mapping, expected the line {HEADER}, then a layer and the number of a "
            "core on each line"
        ) from None
    return cores_of
