"""The console script and its commands."""

from importlib.metadata import version

import pytest

from spikesam.pipeline.cli.main import COMMANDS, main


def ending(*arguments: str) -> int:
    """Exit code of `spikesam` with these arguments."""
    try:
        main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(autouse=True)
def script(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/spikesam"])


def test_help_lists_every_command(capsys):
    assert ending("--help") == ending("-h") == ending() == 0
    lines = capsys.readouterr().out.splitlines()
    for name, about in COMMANDS.items():
        assert lines.count(f"  {name:<10}{about}") == 3


def test_version(capsys):
    assert ending("--version") == 0
    assert capsys.readouterr().out == version("spikesam") + "\n"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rnu", "; did you mean run? See spikesam --help"),
        (
            "--samples",
            ", expected one of run, merge, train, convert, export, explain, energy, fits, chip, "
            "edit, diff, verify, report, validate; see spikesam --help",
        ),
    ],
)
def test_an_unknown_command_is_one_line(name, reason, capsys):
    assert ending(name) == 2
    assert capsys.readouterr().err == f"error: unknown command {name!r}{reason}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_how_it_was_started(name, capsys):
    assert ending(name, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: spikesam {name} ")
    assert f"\n  spikesam {name} " in text  # an example
    assert "python -m" not in text


def test_mistakes_of_a_command_are_its_own(tmp_path, capsys):
    assert ending("explain", str(tmp_path / "x.h5"), "--ot", "y.h5") == 2
    assert (
        capsys.readouterr().err
        == "error: unknown option --ot; did you mean --out? See spikesam explain --help\n"
    )
    assert ending("validate", str(tmp_path / "x.h5")) == 2
    assert "no such file" in capsys.readouterr().err
    assert ending("validate") == 2
    error = (
        "error: missing FILES (rasters, also by the folders of their runs, or maps); see "
        "spikesam validate --help\n"
    )
    assert capsys.readouterr().err == error
