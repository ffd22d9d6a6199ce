"""Import every module of the installed spikesam, and call its public names as their docstrings do.

    python smoke.py    in an empty folder

A name without an example is looked up. What needs a package that is not installed must say so. Ends
with
1, after the faults, where one is found.
"""

from __future__ import annotations

import doctest
import platform
import re
import sys
import traceback
from importlib import import_module
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import spikesam
from spikesam.pipeline.images.datasets import base

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FOLDER = Path(spikesam.__file__).parent
# Packages of extras, by the names that are imported. lava-nc is `lava`, pynwb brings hdmf.
OPTIONAL = {
    re.split(r"[^\w-]", line)[0] for line in requires("spikesam") or () if "extra ==" in line
} | {"lava", "hdmf"}
ADVICE = re.compile("pip install '?(spikesam|lava|nir)")  # the end of a line on what is missing


def lacks_package(error: BaseException) -> bool:
    """True if a package of an extra is missing, and the error is of that alone, or names its
    command.
    """
    if isinstance(error, (ImportError, spikesam.InputError)) and ADVICE.search(str(error)):
        return True
    package = str(getattr(error, "name", "")).partition(".")[0]
    return (
        isinstance(error, ModuleNotFoundError)
        and package in OPTIONAL
        and find_spec(package) is None
    )


class Examples(doctest.DocTestRunner):
    """Runs examples up to the first that lacks a package."""

    def report_unexpected_exception(self, out, test, example, exc_info):
        """Report, unless a package is missing."""
        if lacks_package(exc_info[1]):
            raise LookupError("a package is missing")
        super().report_unexpected_exception(out, test, example, exc_info)


def main() -> int:
    """The number of modules and names with a fault."""
    base.SIZES["selection"] = 50  # images by which the example of a training chooses its best epoch
    paths = [path.relative_to(FOLDER).with_suffix("") for path in sorted(FOLDER.rglob("*.py"))]
    modules = [".".join(("spikesam", *path.parts)) for path in paths if path.name != "__main__"]
    faults = [name for name in modules if not imports(name)]
    counts = dict.fromkeys(("called", "looked up", "lacking a package", "faulty"), 0)
    for name in spikesam.__all__:
        counts[outcome(name)] += 1
    python = platform.python_version()
    print(f"Python {python}: {len(modules)} modules, {len(faults)} faulty; public names: {counts}")
    return len(faults) + counts["faulty"]


def imports(name: str) -> bool:
    """True if the module can be imported, or needs a package that is missing."""
    try:
        import_module(name.removesuffix(".__init__"))
    except Exception as error:
        if not lacks_package(error):
            traceback.print_exc()
            return False
    return True


def outcome(name: str) -> str:
    """How the call of a public name ended."""
    try:
        public = getattr(spikesam, name)
        docstrings = doctest.DocTestFinder().find(public, name, globs={"spikesam": spikesam})
        tests = [test for test in docstrings if test.examples]
        runner = Examples(optionflags=FLAGS)
        for test in tests:
            runner.run(test)
    except LookupError:
        return "lacking a package"
    except Exception as error:
        if lacks_package(error):
            return "lacking a package"
        traceback.print_exc()
        return "faulty"
    if runner.failures:
        return "faulty"
    return "called" if tests else "looked up"


if __name__ == "__main__":
    sys.exit(min(main(), 1))
