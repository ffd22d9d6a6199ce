"""What a layer is called, how its name stands in a file, and how many of its steps matter.

People and the program call a layer "conv1". In a file its group is called "001_conv1", so that groups are listed in
order of depth.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import InputError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_GROUP = re.compile(rf"([0-9]{{3}})_({_NAME.pattern})")


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a layer."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise InputError(f"layer {str(name)[:80]!r}: expected a name such as 'conv1', of letters, digits and _")


@dataclass(frozen=True)
class NamedLayer:
    """A layer as a header describes it: its name, such as "conv1", and its depth, 0 for the input."""

    name: str
    number: int

    @property
    def group(self) -> str:
        """Name of its group in the file: "001_conv1"."""
        return f"{self.number:03d}_{self.name}"


def parse_group(group: str) -> tuple[int, str] | None:
    """Number and name of the layer whose group has this name; None if no layer's group can have it."""
    found = _GROUP.fullmatch(group)
    return (int(found[1]), found[2]) if found else None


def find_layer(asked: str | int, numbers: Mapping[str, int], where: object) -> str:
    """Find the name of a layer by its name ("conv1") or its number (1 or "1"), among `numbers`: name -> number.

    Raises
    ------
    InputError : if there is no such layer, beginning with `where`, with the names nearest to it
    """
    by_number = {str(number): name for name, number in numbers.items()}
    text = str(asked)
    name = text if text in numbers else by_number.get(text.lstrip("0") or text[:1])
    if name is None:
        if set(text.replace(",", " ").split()) <= set(numbers) and "," in text:
            raise InputError(f"{where}: no layer {asked!r}; name several one by one, without commas")
        near = difflib.get_close_matches(text, numbers, 3) or numbers
        raise InputError(f"{where}: no layer {asked!r}; did you mean {' or '.join(near)}?")
    return name


def steps_that_matter(timesteps: int, layer: int, last_layer: int, delay: int) -> int:
    """How many of the first steps of a layer can still change the answer, at least 1.

    The readout sums up to step T - 1. Where each synapse layer takes a step, a spike of layer l after step
    T - 1 - (L - l) arrives too late. Such spikes are recorded, but say nothing of the answer. Where layers take no
    step, every step matters.

    Parameters
    ----------
    layer, last_layer : numbers l and L of the layer and of the last one before the readout; the input is 0
    delay : steps that each synapse layer takes, 0 or 1
    """
    return max(1, timesteps - delay * (last_layer - layer))
