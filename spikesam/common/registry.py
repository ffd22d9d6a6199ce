"""Things by name: those of this project, and those that other installed packages add by entry
points.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, distributions
from typing import Any, TypeVar

from spikesam.common.child import is_current
from spikesam.common.errors import InputError, at
from spikesam.common.text import LONGEST_NAME, printable

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """The things of one kind, by name; a package's is loaded, or refused naming the package, when
    it is first needed.

    A name that another thing has is refused as soon as names are listed, or one that is not built
    in is looked for.
    """

    def __init__(
        self, group: str, expected: str, fits: Callable[[Any], bool], built_in: Mapping[str, T]
    ) -> None:
        """Of entry points "spikesam.`group`", what `fits` and people call `expected`, and those of
        this project.
        """
        self.group, self.expected, self.built_in = group, expected, built_in
        self._fits, self._loaded = fits, dict[str, T]()

    def __getitem__(self, name: str) -> T:
        if name in self.built_in:
            return self.built_in[name]
        if name not in self._loaded:
            point, owner = self._added[name]
            with at(f"{owner}: {name}"):
                self._loaded[name] = self._load(point)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._added

    def __iter__(self) -> Iterator[str]:
        return iter([*self.built_in, *self._added])

    def __len__(self) -> int:
        return len(self.built_in) + len(self._added)

    @cached_property
    def _added(self) -> dict[str, tuple[EntryPoint, str]]:
        """Name -> entry point, and its package and group; none of the current folder, which holds
        data.
        """
        entries: dict[str, tuple[EntryPoint, str]] = {}
        path = [folder for folder in map(os.path.abspath, sys.path) if not is_current(folder)]
        packages = set[str]()
        for package in distributions(path=path):
            if f"[spikesam.{self.group}]" not in (package.read_text("entry_points.txt") or ""):
                continue  # before the rest of it is read, which takes long for all packages
            if package.name in packages:
                continue  # the first on the path is the one that is imported
            packages.add(package.name)
            for point in package.entry_points.select(group=f"spikesam.{self.group}"):
                owner = printable(
                    f"package {package.name} {package.version}, {point.group}", LONGEST_NAME
                )
                if point.name in (*self.built_in, *entries):
                    other_owner = "spikesam"
                    if point.name in entries:
                        other_owner = f"{entries[point.name][1]}: {point.name}"
                    raise InputError(
                        f"{owner}: the name {point.name!r} is taken by {other_owner}; uninstall "
                        "one of them"
                    )
                entries[point.name] = point, owner
        return entries

    def _load(self, point: EntryPoint) -> T:
        try:
            thing: T = point.load()
        except Exception as error:
            reason = printable(f"{type(error).__name__}: {error}")
            raise InputError(f"{point.value} cannot be imported ({reason})") from error
        if not self._fits(thing):
            raise InputError(
                f"{point.value} is of type {type(thing).__name__}, expected {self.expected}"
            )
        return thing
