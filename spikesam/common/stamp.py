"""The stamp of a file: its format and its version, written and checked before all else."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable


class StampError(InputError):
    """A file has another stamp: the attribute that is wrong, its value, and the right one."""

    def __init__(self, attribute: str, value: Any, expected: str, opening: str = "") -> None:
        self.attribute, self.expected = attribute, expected
        self.value = printable(value, LONGEST_NAME) if isinstance(value, str) else value
        super().__init__(f"{opening}{attribute} is {reprlib.repr(self.value)}, expected {expected}")


@dataclass(frozen=True)
class Stamp:
    """The statements that all files of one kind make of themselves."""

    format: str
    version: int
    holds: str  # "a network", for messages

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes that are written into the file."""
        return {"format": self.format, "schema_version": self.version}

    def check(self, read: Callable[[str], Any]) -> None:
        """Refuse a file of another format, of which no version is read, or of another version.

        Parameters
        ----------
        read : gives an attribute of the file by its name, None if it has none
        """
        if (name := read("format")) != self.format:
            raise StampError("format", name, repr(self.format), f"is not {self.holds}: ")
        version = read("schema_version")
        if str(version) != str(self.version):  # safetensors has texts alone
            advice = "read it with the version of the program that wrote it, or make it again"
            raise StampError("schema_version", version, f"{self.version}; {advice}")
