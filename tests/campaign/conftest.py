"""What the tests of this folder share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `work`, in which commands run; see workplace.py."""
    from tests.campaign.isolated import (
        attempt,
    )  # not before the profile of hypothesis is known, see LONG there
    from tests.campaign.workplace import build

    base = tmp_path_factory.mktemp("workplace")
    attempt(build, base, seconds=600, memory=4 << 30)
    return base


def pytest_addoption(parser: pytest.Parser) -> None:
    """For `make fuzz`, with `--hypothesis-profile=fuzz`."""
    parser.addoption("--minutes", type=float, help="how long to try new hostile cases")


def pytest_configure(config: pytest.Config) -> None:
    """Share the minutes over all tests."""
    if minutes := config.getoption("minutes", None):
        from tests.campaign.fuzz import Fuzz

        config.pluginmanager.register(Fuzz(minutes))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test run for hours where it shall try thousands of cases; each case has a limit of its
    own.
    """
    from tests.campaign.isolated import LONG

    for item in items if LONG else []:
        item.add_marker(pytest.mark.timeout(0))
