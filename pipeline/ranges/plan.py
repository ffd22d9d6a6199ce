"""The plan of a run: everything that decides its bits. Whoever follows it computes the same ranges."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.maps.layers import map_layers
from pipeline.maps.sam import AnyVariant
from recordings.digests import raster_digest
from recordings.disk import write_file
from recordings.errors import InputError
from recordings.files import read_file
from recordings.lock import waiting_lock
from recordings.maps.schema import MapHeader
from recordings.parsing import parse_json
from recordings.raster.schema import MAX_SHARD_SAMPLES, LayerSpec, RasterHeader
from recordings.raster.shards import differences
from recordings.schema import SampleTable

Keep = Literal["all", "maps", "raster", "graph"]

SETTINGS = ("keep", "gamma", "variant", "steps", "stepped", "class_names", "checkpoint")
FORMAT, SCHEMA_VERSION = "spikesam-plan", 1
LARGEST = 1 << 28  # bytes of a plan, of a million samples and more
RANGE = MAX_SHARD_SAMPLES  # samples


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run computes.

    Parameters
    ----------
    header : of the raster
    samples : which ones, in order
    keep : "all", "maps" to drop the spikes once they are explained, "raster" to explain nothing, or "graph" for maps
        that Lava's graph forms, which no spike leaves
    gamma : of SAM, 1/step
    variant : of SAM; "fixed" where the graph forms maps
    steps, stepped : which maps are kept step by step, see :func:`pipeline.maps.steps.kept_steps`
    class_names : of the network, for people
    checkpoint : name or file of the network, for people
    """

    header: RasterHeader
    samples: SampleTable
    keep: Keep = "all"
    gamma: float = 0.5
    variant: AnyVariant = "paper"
    steps: tuple[int, ...] = ()
    stepped: int = 0
    class_names: tuple[str, ...] = ()
    checkpoint: str = ""

    @cached_property
    def ranges(self) -> tuple[range, ...]:
        """The positions of each range."""
        count = len(self.samples)
        return tuple(range(first, min(first + RANGE, count)) for first in range(0, count, RANGE))

    @cached_property
    def identity(self) -> str:
        """SHA-256, hexadecimal, of all that decides the bits of a range; not of who computes them."""
        return self._identity(self.keep)

    @property
    def results_identity(self) -> str:
        """The same of all that decides what is found; that does not depend on whether spikes are kept."""
        return self._identity("graph" if self.keep == "graph" else "all")

    def _identity(self, keep: Keep) -> str:
        about = _content(self) | {"keep": keep}
        for name in ("backend", "device", "config", "dt"):
            del about["header"][name]
        for name in ("class_names", "checkpoint"):
            del about[name]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    @property
    def drops_spikes(self) -> bool:
        """Whether no raster is left."""
        return self.keep in ("maps", "graph")

    @property
    def recorded(self) -> tuple[LayerSpec, ...]:
        """The layers whose spikes are known to whoever computes."""
        return () if self.keep == "graph" else self.header.layers

    @property
    def spatial(self) -> tuple[LayerSpec, ...]:
        """The layers that have maps."""
        return tuple(layer for layer in self.header.layers if layer.kind != "dense")

    @cached_property
    def all_maps(self) -> MapHeader:
        """Header of the maps of all samples, before the digest of their raster is known."""
        return self.maps(range(len(self.samples)), None if self.keep == "graph" else "0" * 64)

    def maps(self, positions: range, source: str | None) -> MapHeader:
        """Header of the maps of some consecutive samples, or of all.

        Parameters
        ----------
        source : digest of the raster of those samples; None if there is none
        """
        layers = map_layers(self.header, self.spatial)
        stepped = min(max(self.stepped - positions.start, 0), len(positions))
        kept = self.header.timesteps, layers, self.steps * bool(stepped), stepped
        if source is None:
            of_graph = {"gamma": float(self.gamma), "variant": self.variant, "seed": self.header.seed}
            return MapHeader("graph-sam", self.header.network_sha256, of_graph, *kept, "network_sha256")
        parameters = {"gamma": float(self.gamma), "variant": self.variant, "include_current": True}
        return MapHeader("sam", source, parameters, *kept)

    def digest(self, digests: dict[str, list[str]]) -> str | None:
        """Digest of the raster of some samples, from those of its layers: layer -> one for each sample.

        None where the spikes stayed in the graph.
        """
        if self.keep == "graph":
            return None
        return raster_digest(np.array(digests[layer.name], "S64") for layer in self.header.layers)


def begin_plan(path: Path, plan: Plan) -> None:
    """Write the plan of a run, or join one that is there.

    Raises
    ------
    InputError : if what is there is another run's, naming the differences
    """
    with waiting_lock(path):
        if path.exists():
            _refuse_differences(path, read_plan(path), plan)
        else:
            content = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **_content(plan)}
            write_file(path, json.dumps(content).encode())


def read_plan(path: Path) -> Plan:
    """Read what :func:`begin_plan` wrote.

    Raises
    ------
    InputError : if it is no plan
    """
    try:
        content = parse_json(read_file(path, LARGEST), "plan")
        if (found := (content.pop("format"), content.pop("schema_version"))) != (FORMAT, SCHEMA_VERSION):
            raise InputError(f"it is schema {found[1]} of {found[0]}, expected {SCHEMA_VERSION} of {FORMAT}")
        header = RasterHeader.parse(content.pop("header"))
        samples = SampleTable(np.array(content.pop("index")), np.array(content.pop("label")))
        steps, names = tuple(content.pop("steps")), tuple(content.pop("class_names"))
        return Plan(header, samples, steps=steps, class_names=names, **content)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected the plan of a run; use another --out") from None


def refuse_other_origin(where: Path, of_graph: bool, plan: Plan) -> None:
    """Refuse to go on with maps that left Lava's graph by maps made of spikes, or the other way round.

    Parameters
    ----------
    of_graph : whether those that are there left the graph
    """
    if of_graph != (plan.keep == "graph"):
        there, here = ("leave Lava's graph" if graph else "are made of spikes" for graph in (of_graph, not of_graph))
        raise InputError(
            f"{where}: cannot resume: maps {there} there and {here} here; use the same backend, --keep and --variant, "
            "or another --out"
        )


def _refuse_differences(where: Path, old: Plan, new: Plan) -> None:
    """Refuse to join a run that computes something else."""
    found = differences(old.header, old.samples, new.header, new.samples)
    refuse_other_origin(where, old.keep == "graph", new)
    for name in ("keep", "gamma", "variant", "steps", "stepped"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            short = (f"{len(before)} steps", f"{len(after)} steps") if name == "steps" else (repr(before), repr(after))
            found.append(f"{name} is {short[0]} there, {short[1]} here")
    if found:
        raise InputError(f"{where}: cannot resume: {'; '.join(found)}; use the same settings, or another --out")


def _content(plan: Plan) -> dict[str, Any]:
    return {
        "header": asdict(plan.header),
        "index": plan.samples.index.tolist(),
        "label": plan.samples.label.tolist(),
        **{name: getattr(plan, name) for name in SETTINGS},
    }
