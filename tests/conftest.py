"""Fixtures shared by every test."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, settings

# What tests compute is small. More threads than one would mostly wait for each other, above all
# where tests run side by side. numpy, torch and numba read these once, so they are set before any
# of them is imported; commands inherit them.
for library in ("OMP", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# A shell starts a job in the background with SIGINT ignored, and child processes inherit this. Some
# tests send SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: where others compute too, time says nothing of a test. "suite" tries the same cases
# each time; "long" tries many new ones, and those first that failed before; it is for
# tests/campaign. "fuzz" tries four at a time, and shrinks none.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile(
    "long", deadline=None, derandomize=False, max_examples=1000, print_blob=True
)
settings.register_profile(
    "fuzz", settings.get_profile("long"), max_examples=4, phases=[Phase.reuse, Phase.generate]
)
settings.load_profile("suite")

SHARED = Path(__file__).resolve().parents[2] / "shared"
LONG = (  # for `make test-long`
    "backends/event/test_cache",
    "backends/event/test_compiled",
    "backends/lava",
    "campaign",
    "pipeline/cli/test_errors",
    "pipeline/engine/test_first_run",
    "pipeline/engine/test_graph",
    "pipeline/engine/test_ranges",
    "pipeline/imports/test_spike_functions",
    "pipeline/maps/methods/test_attribution",
    "pipeline/networks/test_defaults",
    "pipeline/test_names",
    "pipeline/training/test_events",
    "spikesam/common/test_foreign_settings",
    "test_examples",
    "test_flat_memory",
    "test_imports",
    "test_package",
    "test_readme",
    "test_real_images",
)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as long what stands in `LONG`, and what runs on Lava, in Chromium or alone, unless it is
    marked as short.
    """
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        on_lava = any(isinstance(value, str) and value.startswith("lava") for value in parameters)
        named = item.nodeid.startswith(tuple(f"tests/{name}" for name in LONG))
        slow = (
            named
            or on_lava
            or "browser" in getattr(item, "fixturenames", ())
            or item.get_closest_marker("alone")
        )
        if slow and not item.get_closest_marker("short"):
            item.add_marker("long")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must end with exit code 2; the line that it says, alone but where it
    reports progress.
    """

    def run(main: Callable[[list[str]], object], *arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        error = capsys.readouterr().err
        *before, line = (
            line for line in error.splitlines() if not line.startswith("spikesam compiles kernels")
        )
        assert stop.value.code == 2 and line.startswith("error: "), line
        assert not before or main.__module__.rpartition(".")[2] in (
            "convert",
            "export",
            "train",
            "__main__",
        ), error
        assert "Traceback" not in error
        return line

    return run


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of worked reference data and real images beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED} (reference data and real images), which is not here")
    return SHARED


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small networks, seven images of each of their classes and configurations;
    nobody writes there.
    """
    from tests.pipeline.small_networks import small_workplace

    return small_workplace(tmp_path_factory.mktemp("workplace"), per_class=7)
