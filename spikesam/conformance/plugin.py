"""A plugin of pytest: a test that takes `nir_check` runs once for each case of the suite.

In `conftest.py`: `pytest_plugins = ["spikesam.conformance.plugin"]`. A test calls
`nir_check(run)`; a case that `run` does not read is skipped. A table of node × verdict stands at
the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spikesam.conformance._report import Result, Run, cases, result_of_case, table

PROPERTY = "spikesam.conformance"  # of a report, which may come from another process
VERDICTS = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the verdicts."""
    config.stash[VERDICTS] = []
    config.pluginmanager.register(Collector(config), f"{PROPERTY}.collector")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each case."""
    if "nir_check" in metafunc.fixturenames:
        metafunc.parametrize("nir_check", cases(), indirect=True, ids=str)


@pytest.fixture
def nir_check(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[[Run], Result]:
    """A function of `run(graph, input)`, as :func:`spikesam.conformance.check` takes it, that
    fails where a value differs.
    """

    def checked(run: Run) -> Result:
        result = result_of_case(request.param, run, [])
        record_property(PROPERTY, [result.case.node, result.verdict])
        if result.verdict == "not read":
            pytest.skip(result.message)
        if result.verdict == "differs":
            pytest.fail(str(result), pytrace=False)
        return result

    return checked


class Collector:
    """Collects verdicts of reports, which processes of pytest-xdist send."""

    def __init__(self, config: pytest.Config) -> None:
        self.verdicts = config.stash[VERDICTS]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the verdict of a test that has run."""
        if report.when == "call":
            self.verdicts += [
                tuple(value) for key, value in report.user_properties if key == PROPERTY
            ]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table."""
    if verdicts := terminalreporter.config.stash[VERDICTS]:
        terminalreporter.section("NIR")
        terminalreporter.write_line(table(verdicts))
