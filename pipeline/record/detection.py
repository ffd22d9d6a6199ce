"""Finding spiking layers of unknown classes by their values, in the first batch.

A module fires where what comes out lies on a grid {0, u, 2u, …}, and what goes in, or what one of
its parts puts out, does not. So neurons are found, and blocks of synapses and neurons;
convolutions, pooling, flattening and leaky readouts are not. Of modules within each other the
innermost counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from spikesam.common.errors import InputError
from spikesam.pipeline.record._comparisons import are_zero

# a grid has few lines: analog values are multiples of the smallest one, too, if that is small
# enough
MOST_UNITS = 255
TOLERANCE = 1e-3  # of a unit


class Grid:
    """A test that all values seen so far lie on one grid {0, u, 2u, …}; or, if `signed`, on {…, -u,
    0, u, …}.
    """

    def __init__(self, signed: bool = False) -> None:
        self.fits, self._signed = True, signed
        self.unit: float | None = None  # u, the smallest value above 0

    def see(self, values: Tensor) -> None:
        """Take more values."""
        if not self.fits or not values.numel():
            return
        try:
            numbers = values.detach().float()
            row = numbers[(0,) * (numbers.ndim - 1)]  # enough for most that lie on no grid
            for part in (row, numbers) if row.numel() < numbers.numel() else (numbers,):
                if self.fits:
                    self._see(part)
        except RuntimeError:  # quantised or sparse, on no device, or otherwise not to be looked at
            self.fits = False

    def _see(self, values: Tensor) -> None:
        values = values.abs() if self._signed else values
        low, high = map(float, values.aminmax())
        self.fits = low >= 0  # and no NaN
        if not self.fits or high == 0:
            return
        if high == 1 and are_zero(torch.addcmul(values, values, values, value=-1)):  # 0 and 1
            values = values.new_ones(1)
        smallest = float(torch.where(values > 0, values, math.inf).min())
        if high > (MOST_UNITS + 1) * smallest:
            self.fits = False
            return
        before, self.unit = self.unit or smallest, min(smallest, self.unit or smallest)
        lines, former = values / self.unit, before / self.unit
        distance = max(float((lines - lines.round()).abs().max()), abs(former - round(former)))
        self.fits = distance < TOLERANCE and max(float(lines.max()), former) <= MOST_UNITS


class Probe:
    """The values that went into a module that may fire, and those that came out."""

    def __init__(self, signed: bool = False) -> None:
        self.entered, self.left = Grid(signed), Grid(signed)

    def enter(self, inputs: Iterable[object]) -> None:
        """Take what goes in."""
        for value in inputs:
            if isinstance(value, Tensor):
                self.entered.see(value)


def find_firing(probes: Mapping[str, Probe]) -> list[str]:
    """Names of the modules that fire, the model left out; refuses silent ones that may be
    neurons.
    """
    makers = _makers(probes)
    firing = [name for name, probe in makers.items() if probe.left.unit]
    silent = [name for name in makers if name not in firing]
    lonely = [
        name
        for name in silent
        if not (_parts(name, makers) or any(name in _parts(o, makers) for o in firing))
    ]
    if lonely:
        raise InputError(
            f"record: {', '.join(map(repr, lonely))} put out nothing but zeros in the first batch, "
            "which a layer of silent neurons does, but others do, too; name the layers to record "
            "with layers="
        )
    return [name for name in firing if not set(_parts(name, probes)) & set(firing)]


def find_firing_beside(probes: Mapping[str, Probe]) -> list[str]:
    """The names of the modules that fire, but for those that hold others that do."""
    firing = [name for name, probe in _makers(probes).items() if probe.left.unit]
    return [name for name in firing if not set(_parts(name, probes)) & set(firing)]


def beside(names: Iterable[str], known: Iterable[str]) -> set[str]:
    """The names of the modules that are not among the known ones, hold none, and lie in none."""
    known = {*known}
    holders = set[str]().union(*map(_above, known))
    return {
        name for name in names if name not in known | holders and known.isdisjoint(_above(name))
    }


def _makers(probes: Mapping[str, Probe]) -> dict[str, Probe]:
    """The modules that put out what lies on a grid, though what they are given, or their parts put
    out, does not.
    """
    return {
        name: probe
        for name, probe in probes.items()
        if probe.left.fits
        and not (
            probe.entered.fits and all(probes[part].left.fits for part in _parts(name, probes))
        )
    }


def _above(name: str) -> set[str]:
    """The modules that hold a module."""
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}


def _parts(name: str, among: Mapping[str, Probe]) -> list[str]:
    """The modules within a module."""
    return [other for other in among if other.startswith(f"{name}.")]
