"""The campaign for so many minutes (`make fuzz`): each test gets its share of new cases; a table
says how all ended.
"""

import time
from random import Random

import pytest
from _pytest.terminal import TerminalReporter

OUTCOMES = ("refused", "identical", "another valid", "failed")
AGAIN = """To repeat a failing case, which hypothesis keeps in .hypothesis/ and tries first:
  python -m pytest 'tests/campaign/FILE.py::TEST[NAME]' -n 0 --hypothesis-profile=long"""


class Fuzz:
    """A plugin of pytest that shares some minutes over all tests of hypothesis, in random order,
    and runs no others.
    """

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes
        self._left = 0

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Keep the tests of hypothesis."""
        others = [item for item in items if not hasattr(getattr(item, "obj", None), "hypothesis")]
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=others)
        Random().shuffle(items)
        self._left = len(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Run a test again and again, for its share of what is left."""
        began = time.monotonic()
        until, self._left = began + (self._end - began) / self._left, self._left - 1
        if began >= self._end:
            pytest.skip("no time was left")
        arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        while time.monotonic() < until:
            pyfuncitem.obj(**arguments)
        return True

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print the table."""
        from tests.campaign.isolated import TALLIES, Tally

        total = Tally()
        rows = [("kind", "tried", *OUTCOMES, "slowest", "most memory")]
        for name, tally in [*sorted(TALLIES.items()), ("all", total)]:
            counts = (sum(tally.counts.values()), *(tally.counts[outcome] for outcome in OUTCOMES))
            rows.append(
                (name, *map(str, counts), f"{tally.seconds:.1f} s", f"{tally.memory / 1e6:.0f} MB")
            )
            total.counts += tally.counts
            total.seconds, total.memory = (
                max(total.seconds, tally.seconds),
                max(total.memory, tally.memory),
            )
        terminalreporter.section("how the cases ended")
        for row in rows:
            terminalreporter.write_line(f"| {' | '.join(row)} |")
        if total.counts["failed"]:
            terminalreporter.write_line(AGAIN)
