"""Every command ends with one plain line and the agreed exit code."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from spikesam.common.errors import OVERWRITE, InputError
from spikesam.pipeline.cli.errors import exit_codes
from tests.recordings.rasters import GOLDEN

ROOT = Path(__file__).parents[3]


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
        (
            InputError("x.toml: T is 0, expected at least 1"),
            2,
            "error: x.toml: T is 0, expected at least 1\n",
        ),
        (BackendLikeError("no such device"), 2, "error: no such device\n"),
        (InputError("first\n  second"), 2, "error: first second\n"),
        (
            InputError("c.h5: already exists", OVERWRITE),
            2,
            "error: c.h5: already exists; choose another --out, or replace it with --overwrite\n",
        ),
        (
            InputError("got 'x', expected 1", argument="samples"),
            2,
            "error: --samples: got 'x', expected 1\n",
        ),
        (
            OSError(28, "No space left on device", "out/raster.h5"),
            2,
            "error: out/raster.h5: No space left on device\n",
        ),
        (PermissionError(13, "Permission denied", "out"), 2, "error: out: Permission denied\n"),
        (
            OSError(18, "Invalid cross-device link", "a", None, "b"),
            2,
            "error: a -> b: Invalid cross-device link\n",
        ),
        (OSError("unable to open file"), 2, "error: unable to open file\n"),
        (
            MemoryError("Unable to allocate 429. GiB"),
            2,
            "error: not enough memory: Unable to allocate 429. GiB\n",
        ),
        (MemoryError(), 2, "error: not enough memory: some was asked for and refused\n"),
        (
            ImportError("libtorch_cpu.so: failed to map segment from shared object"),
            2,
            "error: not enough memory: libtorch_cpu.so: failed to map segment from shared object\n",
        ),
        (
            RuntimeError("can't start new thread"),
            2,
            "error: not enough memory: can't start new thread\n",
        ),
        (SystemExit(0), 0, ""),
    ],
)
def test_code_and_line(error, code, text, capsys):
    assert ending(error, capsys) == (code, text)


@pytest.mark.parametrize(
    ("error", "cause", "code", "begins"),
    [
        (ZeroDivisionError("by zero"), None, 70, "internal failure: ZeroDivisionError: by zero ("),
        (KeyboardInterrupt(), None, 130, "interrupted; "),
        (
            SystemError("returned a result with an exception set"),
            KeyboardInterrupt(),
            130,
            "interrupted; ",
        ),
    ],
)
def test_an_internal_failure_and_an_interrupt_are_one_line(
    error, cause, code, begins, capsys, monkeypatch
):
    error.__cause__ = cause
    ended, text = ending(error, capsys)
    assert ended == code and text.startswith(begins) and text.count("\n") == 1
    if code == 70:
        assert "SPIKESAM_DEBUG=1" in text
        monkeypatch.setenv("SPIKESAM_DEBUG", "1")
        with pytest.raises(type(error)):
            ending(error, capsys)


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
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


COMMAND = "import sys; from spikesam.pipeline.cli.main import main; main(sys.argv[1:])"
WORDS = {
    "--version": ["--version"],
    "help": ["energy", "--help"],
    "diff": ["diff", str(GOLDEN), str(GOLDEN)],
}


def printing_to(stdout, words, **environment):
    """Run a command as a shell does, which lets Python keep what it prints until the end."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"
    } | environment
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=ROOT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_reader_that_left_is_no_answer(words):
    reading, writing = os.pipe()
    os.close(reading)
    done = printing_to(writing, words)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "words", [*WORDS.values(), ["validate", str(GOLDEN)]], ids=[*WORDS, "validate"]
)
def test_a_full_disk_behind_standard_output_is_one_line(words):
    with open("/dev/full", "wb") as full:
        done = printing_to(full, words)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_command_whose_standard_output_is_closed_does_its_work(words):
    closing = (
        "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-c', "
        f"{COMMAND!r}, *{words!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", closing], capture_output=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.long
def test_pictures_need_no_known_backend_of_matplotlib(tmp_path):
    words = [
        "explain",
        str(GOLDEN),
        "--out",
        str(tmp_path / "maps.h5"),
        "--figures",
        str(tmp_path / "figures"),
    ]
    done = printing_to(subprocess.DEVNULL, words, MPLBACKEND="nonsense")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_configuration_of_dask_is_one_line(tmp_path):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    (tmp_path / "broken.yaml").write_text("a: [")
    words = ["run", "--dask", "local:1", "--samples", "1", "--out", str(tmp_path / "run")]
    done = printing_to(subprocess.DEVNULL, words, DASK_CONFIG=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("error: --dask: the configuration of dask cannot be read (")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("terminal", [ASCII, C_LOCALE], ids=["ascii", "C locale"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["x.h5", "--out", "y.h5", "--variant", "theirs"]]
)
def test_a_terminal_without_unicode_gets_the_same_text_in_plain_characters(arguments, terminal):
    command = [sys.executable, "-m", "spikesam.pipeline.explain", *arguments]
    ran = subprocess.run(command, capture_output=True, env=os.environ | terminal, check=False)
    if arguments == ["--help"]:
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert b"decay of the kernel per step, ? 0;" in b" ".join(ran.stdout.split())
    else:
        assert ran.returncode == 2
        assert ran.stderr.decode("ascii") == (
            "error: --variant is 'theirs', expected 'paper', 'authors-code' or 'fixed'; see "
            "spikesam explain --help\n"
        )
