"""Numbers of operations and joules as people read them."""

from __future__ import annotations

import math

UNITS = ("pJ", "nJ", "µJ", "mJ", "J")


def unit_of(joules: float) -> tuple[float, str]:
    """The unit that fits a number of joules: how many J it is, and its name."""
    power = 0 if joules == 0 else min(max(math.floor(math.log10(joules) / 3), -4), 0)
    return 1000.0**power, UNITS[power - 1]


def in_joules(value: float) -> str:
    """Such as "12.3 µJ"; "–" of what is not known."""
    return _scaled(value, UNITS, -4)


def in_short(value: float) -> str:
    """Such as "1.23 M"; "–" of what is not known."""
    return _scaled(value, ("", "k", "M", "G", "T"), 0).strip()


def _scaled(value: float, units: tuple[str, ...], first: int) -> str:
    """Three digits and the unit of thousands that fits; `first` is the power of the first unit."""
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    power = min(max(math.floor(math.log10(value) / 3), first), first + len(units) - 1)
    scaled = value / 1000.0**power
    digits = max(0, 2 - math.floor(math.log10(scaled))) if power > 0 or first < 0 or scaled % 1 else 0
    return f"{scaled:.{min(digits, 2)}f} {units[power - first]}"
