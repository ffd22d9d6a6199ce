"""Keeps libraries from taking settings out of the current folder, which may be a download.

Numba would read `.numba_config.yaml` there, which names a folder of compiled code to be run; matplotlib `matplotlibrc`,
which can have it run LaTeX. A file that cannot be parsed would end the program, and a pipe of that name stop it.
Settings in the user's own folders and in the environment count as ever.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

FILES = {"numba.core.config": ".numba_config.yaml", "matplotlib": "matplotlibrc"}  # that a module reads when imported


def ignore_foreign_settings() -> None:
    """From now on, import these modules as if their files were not in the current folder."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds these modules as Python does."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in FILES or (spec := PathFinder.find_spec(name, path, target)) is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_without(module: ModuleType) -> None:
            exists = os.path.exists
            os.path.exists = lambda path: path != FILES[name] and exists(path)
            try:
                execute(module)
            finally:
                os.path.exists = exists
            if name == "numba.core.config":
                vars(module)["_config_fname"] = ""  # it looks for its file time and again

        spec.loader.exec_module = execute_without  # type: ignore[method-assign]
        return spec
