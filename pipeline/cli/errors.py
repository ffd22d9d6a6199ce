"""The end of a command: one plain line on standard error and an exit code, never a traceback."""

from __future__ import annotations

import functools
import io
import os
import sys
from codecs import lookup
from collections.abc import Callable, Sequence

from spikesam.common.errors import DEBUG_VARIABLE, InputError, debugging, finding, lacks_memory
from spikesam.common.extras import missing
from spikesam.common.text import printable

DIFFERENT, BAD_INPUT, INTERNAL_FAILURE, INTERRUPTED, BROKEN_PIPE = (
    1,
    2,
    70,
    130,
    141,
)  # as diff(1), sysexits.h

# How an argument is typed on the command line, where it is not simply --NAME.
TYPED = {
    "spikesam.convert()": "spikesam convert",
    "keep='all'": "--keep all",
    "data is": "spikesam run --data",
    "report([a, b])": "spikesam report A B",
    "download=True": "--download (in a configuration: data.download)",
}

Main = Callable[[Sequence[str] | None], None]


def exit_codes(main: Main) -> Callable[..., None]:
    """Turn what `main(argv)` of a command raises into one line and an exit code; SPIKESAM_DEBUG=1
    lets it propagate.

    Characters that standard output cannot encode are replaced. What is printed where it was closed
    is lost.
    """

    @functools.wraps(main)
    def wrapper(argv: Sequence[str] | None = None) -> None:
        _open_what_is_closed()
        _allow_any_text()
        try:
            try:
                main(argv)
            except SystemExit:
                sys.stdout.flush()
                raise
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            _drop_what_cannot_be_printed()
            if (interrupt := interruption(error)) is not None:
                kept_note = (
                    str(interrupt)
                    or "finished work is kept, and run and train continue it with --resume"
                )
                print(f"interrupted; {printable(kept_note)}", file=sys.stderr)
                sys.exit(INTERRUPTED)
            if debugging():
                raise
            if isinstance(error, BrokenPipeError):
                sys.exit(BROKEN_PIPE)
            print(message(error, main.__module__.rpartition(".")[2]), file=sys.stderr)
            is_bad_input = isinstance(error, (InputError, OSError)) or missing(error)
            sys.exit(BAD_INPUT if is_bad_input or lacks_memory(error) else INTERNAL_FAILURE)

    return wrapper


def interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C behind an error, if there is one; compiled code that it stops raises an error of
    its own.
    """
    if error is None or isinstance(error, KeyboardInterrupt):
        return error
    return interruption(error.__cause__ or error.__context__)


def message(error: BaseException, command: str = "") -> str:
    """The line shown for `error` of a command."""
    if isinstance(error, InputError):
        line = error.worded(_typed)
        return f"error: {' '.join(line.split())}"
    if lacks := missing(error, command):
        return f"error: {lacks}"
    if isinstance(error, OSError):
        return f"error: {finding(error)}"
    text = printable(" ".join(str(error).split()))
    if lacks_memory(error):
        text = text or "some was asked for and refused"
        return f"error: not enough memory: {text}"
    return (
        f"internal failure: {type(error).__name__}: {text} "
        f"(set {DEBUG_VARIABLE}=1 for the traceback, and please report it)"
    )


def _typed(argument: str) -> str:
    """An argument of Python, such as "out" or "overwrite=True", as a command takes it."""
    flag = argument.removesuffix("=True").replace("_", "-")
    return TYPED.get(argument, f"--{flag}")


def _allow_any_text() -> None:
    """Print "?" for what standard output cannot encode, such as "γ" in ASCII; standard error
    escapes it by itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        unable = (
            sys.stdout.errors == "surrogateescape" and lookup(sys.stdout.encoding).name != "utf-8"
        )  # C locale
        if unable or sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="replace")


def _open_what_is_closed() -> None:
    """Let standard streams that are closed lead to nothing: a file that is opened would get the
    number of one.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115  until the end


def _drop_what_cannot_be_printed() -> None:
    """Point a standard output that fails at nothing, so that the interpreter's last flush cannot
    complain.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
