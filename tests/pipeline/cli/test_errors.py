"""Every command ends with one plain line and the agreed exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from spikesam.pipeline.cli.errors import exit_codes
from spikesam.recordings.errors import InputError


def ending(error: BaseException | None, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of a command that raises `error`."""

    @exit_codes
    def main(argv: Sequence[str] | None = None) -> None:
        if error is not None:
            raise error

    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, capsys.readouterr().err


class BackendLikeError(InputError):
    """Packages raise subclasses of InputError."""


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (None, 0, ""),
        (InputError("x.toml: T is 0, expected at least 1"), 2, "error: x.toml: T is 0, expected at least 1\n"),
        (BackendLikeError("no such device"), 2, "error: no such device\n"),
        (InputError("first\n  second"), 2, "error: first second\n"),
        (
            InputError("c.h5: already exists", "overwrite"),
            2,
            "error: c.h5: already exists; choose another --out, or replace it with --overwrite\n",
        ),
        (InputError("got 'x', expected 1", argument="samples"), 2, "error: --samples: got 'x', expected 1\n"),
        (OSError(28, "No space left on device", "out/raster.h5"), 2, "error: out/raster.h5: No space left on device\n"),
        (PermissionError(13, "Permission denied", "out"), 2, "error: out: Permission denied\n"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), 2, "error: a -> b: Invalid cross-device link\n"),
        (OSError("unable to open file"), 2, "error: unable to open file\n"),
        (MemoryError("Unable to allocate 429. GiB"), 2, "error: not enough memory: Unable to allocate 429. GiB\n"),
        (SystemExit(0), 0, ""),
    ],
)
def test_code_and_line(error, code, text, capsys):
    assert ending(error, capsys) == (code, text)


def test_an_internal_failure_names_itself_and_how_to_see_more(capsys):
    code, text = ending(ZeroDivisionError("division by zero"), capsys)
    assert code == 70
    assert text.startswith("internal failure: ZeroDivisionError: division by zero (")
    assert "SPIKESAM_DEBUG=1" in text
    assert text.count("\n") == 1


def test_an_interrupt_is_one_line(capsys):
    code, text = ending(KeyboardInterrupt(), capsys)
    assert code == 130
    assert text.startswith("interrupted; ")
    assert text.count("\n") == 1


def test_an_interrupt_behind_an_error_of_compiled_code(capsys):
    error = SystemError("returned a result with an exception set")
    error.__cause__ = KeyboardInterrupt()
    assert ending(error, capsys)[0] == 130


def test_debugging_lets_the_exception_through(monkeypatch, capsys):
    monkeypatch.setenv("SPIKESAM_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        ending(ZeroDivisionError(), capsys)


def test_arguments_reach_the_command():
    seen = []
    exit_codes(seen.append)(["--samples", "3"])
    assert seen == [["--samples", "3"]]


def test_a_closed_pipe_is_silent():
    script = (
        "from spikesam.pipeline.cli.errors import exit_codes\n"
        "@exit_codes\n"
        "def main(argv=None):\n"
        "    for line in range(100_000):\n"
        "        print(line)\n"
        "main()\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("terminal", [ASCII, C_LOCALE], ids=["ascii", "C locale"])
@pytest.mark.parametrize("arguments", [["--help"], ["x.h5", "--out", "y.h5", "--variant", "theirs"]])
def test_a_terminal_without_unicode_gets_the_same_text_in_plain_characters(arguments, terminal):
    command = [sys.executable, "-m", "spikesam.pipeline.explain", *arguments]
    ran = subprocess.run(command, capture_output=True, env=os.environ | terminal, check=False)
    if arguments == ["--help"]:
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert b"decay of the kernel per step, ? 0;" in b" ".join(ran.stdout.split())
    else:
        assert ran.returncode == 2
        assert ran.stderr.decode("ascii") == (
            "error: --variant is 'theirs', expected 'paper', 'authors-code' or 'fixed'; see spikesam explain --help\n"
        )
