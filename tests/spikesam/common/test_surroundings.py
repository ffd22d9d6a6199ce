"""A variable or a limit with which a library cannot start is refused in a line."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from spikesam.common.child import python
from spikesam.common.surroundings import REFUSALS

RESOURCE = "import resource; resource.setrlimit(resource.RLIMIT_AS, ({0}, {0})); "
IMPORT = """
import spikesam
from spikesam.pipeline.cli.errors import exit_codes
exit_codes(lambda _: __import__({!r}))()
"""


def said(module: str, variables: dict[str, str], code: str = "") -> tuple[int, str]:
    """Exit code and standard error of a command that imports a module."""
    done = subprocess.run(
        python(code + IMPORT.format(module)),
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("module", "variables", "line"),
    [
        (
            "numba",
            {"NUMBA_NUM_THREADS": "-1"},
            "the variable NUMBA_NUM_THREADS is -1, expected a number of threads, at least 1",
        ),
        ("numba", {"NUMBA_NUM_THREADS": " 0"}, "the variable NUMBA_NUM_THREADS is 0, expected"),
        (
            "scipy.linalg",
            {"SOURCE_DATE_EPOCH": "abc"},
            "the variable SOURCE_DATE_EPOCH is 'abc', expected seconds since 1970",
        ),
        ("scipy.linalg", {"SOURCE_DATE_EPOCH": str(10**17)}, "the variable SOURCE_DATE_EPOCH is"),
    ],
)
def test_a_variable_with_which_a_library_cannot_start(
    module: str, variables: dict[str, str], line: str
) -> None:
    code, error = said(module, variables)
    assert code == 2 and error.startswith(f"error: {line}") and error.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, addresses have no such limit")
def test_less_memory_than_the_libraries_take() -> None:
    code, error = said("numba", {}, RESOURCE.format(500_000 * 1024))
    assert code == 2 and error.startswith("error: this process may have 512,000 kB of memory, as")


@pytest.mark.parametrize("value", ["1", "64", "auto", ""])
@pytest.mark.parametrize("refuse", REFUSALS.values())
def test_what_libraries_take(
    value: str, refuse: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", value)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    refuse()
