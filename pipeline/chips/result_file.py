"""The file of what a run takes on the model of a chip, `chip.json` in the run's folder, which its
page shows: bound to the spikes by their digest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from spikesam.common.disk import write_file
from spikesam.common.errors import InputError
from spikesam.common.files import open_file, read_file, refuse_links
from spikesam.common.models import Many, parse_model
from spikesam.common.stamp import Stamp
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.chips.description import CHIPS

if TYPE_CHECKING:
    from spikesam.pipeline.chips.chip import Chip

NAME = "chip.json"
STAMP = Stamp("spikesam-chip", 2, "what a run takes on the model of a chip")
LARGEST, MOST_MARKS, MOST_LAYERS = 1 << 22, 1 << 17, 1 << 12  # bytes, marks of JSON, rows
MOST_CORES, MOST_TILES = 1 << 10, 1 << 6  # of a mesh that is drawn; tiles along a side
BEGINNING = f'{{\n "format": "{STAMP.format}"'.encode()

Count = Annotated[int, Field(ge=0, le=1 << 53)]
Amount = Annotated[float, Field(ge=0, le=1e9)]  # J or s


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LayerOnChip(_Strict):
    """A row of :attr:`Chip.layers`: means of the samples."""

    layer: Annotated[str, Field(max_length=LONGEST_NAME)]
    cores: Count
    synapse: Amount
    soma: Amount
    network: Amount
    busiest: Count
    busy: Amount


class CoreOnChip(_Strict):
    """A row of :attr:`Chip.cores` that a picture of the mesh needs."""

    core: Annotated[int, Field(ge=0, lt=MOST_CORES)]
    x: Annotated[int, Field(ge=0, lt=MOST_TILES)]
    y: Annotated[int, Field(ge=0, lt=MOST_TILES)]
    layers: Annotated[str, Field(max_length=LONGEST_NAME)]
    received: Amount
    busy: Amount


class RunOnChip(_Strict):
    """The cost of a run on the model of a chip: J and s of a sample, and s of a step."""

    raster_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    chip: Literal[CHIPS]  # type: ignore[valid-type]
    version: Annotated[str, Field(max_length=LONGEST_NAME)]
    samples: Count
    cores: Annotated[Many[CoreOnChip], Field(min_length=1, max_length=MOST_CORES)]
    cores_per_tile: Annotated[int, Field(ge=1, le=MOST_CORES)]
    bits: Count
    compared: Count
    joules: Amount
    seconds: Amount
    step_seconds: Amount
    layers: Annotated[Many[LayerOnChip], Field(min_length=1, max_length=MOST_LAYERS)]


def refuse_other(folder: Path) -> None:
    """Refuse a folder whose `chip.json` was written by something else: it would be replaced."""
    path = folder / NAME
    refuse_links(folder, [NAME])
    if not os.path.lexists(path):
        return
    beginning = b""
    if path.is_file():
        with open_file(path) as file:
            beginning = file.read(len(BEGINNING))
    if beginning != BEGINNING:
        raise InputError(f"{path}: is not of spikesam, and would be replaced; move it")


def write_result(folder: Path, raster_digest: str, result: Chip) -> None:
    """Write the file of a folder anew, whole."""
    columns = [name for name in LayerOnChip.model_fields if name != "layer"]
    record = RunOnChip(
        raster_digest=raster_digest,
        chip=result.chip,
        version=result.version,
        samples=len(result.samples),
        cores=[
            CoreOnChip(
                layers=printable(row["layers"], LONGEST_NAME),
                **{name: row[name] for name in CoreOnChip.model_fields if name != "layers"},
            )
            for row in result.cores.to_dict("records")
        ],
        cores_per_tile=result.cores_per_tile,
        bits=result.bits,
        compared=result.compared,
        joules=result.joules,
        seconds=result.seconds,
        step_seconds=float(result.steps["seconds"].mean()),
        layers=[
            LayerOnChip(
                layer=printable(row["layer"], LONGEST_NAME),
                **{name: row[name] for name in columns},
            )
            for row in result.layers.to_dict("records")
        ],
    )
    content = {**STAMP.attributes, **record.model_dump()}
    write_file(folder / NAME, (json.dumps(content, indent=1) + "\n").encode())


def read_result(path: Path) -> RunOnChip:
    """Read a file, with names that can be shown; an InputError says what is wrong."""
    record = parse_model(RunOnChip, read_file(path, LARGEST), MOST_MARKS, STAMP)
    layers = [
        row.model_copy(update={"layer": printable(row.layer, LONGEST_NAME)})
        for row in record.layers
    ]
    cores = [
        core.model_copy(update={"layers": printable(core.layers, LONGEST_NAME)})
        for core in record.cores
    ]
    return record.model_copy(
        update={"layers": layers, "cores": cores, "version": printable(record.version)}
    )
