"""What a layer is called, how its name stands in a file, and how many of its steps matter.

People and the program call a layer "conv1". In a file its group is called "001_conv1", so that groups are listed in
order of depth.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from spikesam.recordings.errors import InputError

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


def steps_that_matter(timesteps: int, to_readout: int) -> int:
    """How many of the first steps of a layer can still change the answer, at least 1.

    The readout sums up to step T - 1. A spike after step T - 1 - `to_readout` arrives too late. Such spikes are
    recorded, but say nothing of the answer.

    Parameters
    ----------
    to_readout : steps that a spike of the layer needs at least to reach the readout: where each layer takes a step and
        reads the one before, L - l of layer l of L; 0 where layers take no step
    """
    return max(1, timesteps - to_readout)
