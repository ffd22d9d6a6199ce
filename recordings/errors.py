"""The errors that mean "what you gave is wrong", shared by every package and command.

An error stores by name what would help. This module words it for Python users,
`pipeline/cli/errors.py` for the command line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from spikesam.recordings.text import printable

# How the line ends, by the name of the advice. In braces: an argument, or what the error gave with
# the advice.
ADVICE = {
    "other-out": "; choose another {out}",
    "wait": "; wait for it or choose another {out}",
    "overwrite": "; choose another {out}, or replace it with {overwrite}",
    "free-space": "; free space or choose another {out}",
    "fewer-samples": "; free space, record fewer samples, or choose another {out}",
    "fewer-exported": "; free space, choose another disk, or fewer {samples} or {layers}",
    "continue": "; continue that run with {resume}, or choose another {out}",
    "resume": ", and {resume} goes on from there",
    "resume-missing": ", and {resume} computes the missing ones again",
    "free-space-resume": "; free space, then use {resume}",
    "same-settings": "; use the same settings, or another {out}",
    "train-again": "; run again, with {resume} if epochs/last.ckpt exists",
    "start-again": "; start without {resume}",
    "resume-training": "; add {resume}, or choose another {out}",
    "download": "; fetch it once with {download}",
    "keep-spikes": "; run again with {keep-all}",
    "other-data": "; give other {data-set}, or another {network-file}",
    "convert": "; convert it with {convert}",
    "without-labels": "; give other {data-set}, or another {network-file}, or run the images without their labels: "
    "{run-data} {files}",
    "give-data": "; give {data}, which its samples are made of",
    "give-network": "; give {network}, what the recorded model became",
    "record-input": "; record it again with {record-network}, which records them, too",
    "two-runs": "; of two runs: {report-two}",
}
_PYTHON = {
    **{switch: f"{switch}=True" for switch in ("overwrite", "resume", "download")},
    "convert": "spikesam.convert()",
    "data-set": "data",
    "network-file": "checkpoint",
    "keep-all": "keep = 'all'",
    "run-data": "data is",
    "record-network": "record(…, network=…)",
    "report-two": "report([a, b])",
}


class InputError(ValueError):
    """Something given by the user is missing, malformed or does not fit.

    The message is a single line: where, what was found, what would be right. Commands print it and
    exit with code 2; anything else that escapes a command is an internal failure (exit code 70).
    Names and values in a message come from files and command lines: whatever they are, the line can
    be printed and is not long.

    Parameters
    ----------
    finding : where, what was found, what would be right; names neither an option of a command nor
    an argument
    advice : what would help, a key of `ADVICE`
    argument : the argument that is wrong, if it is one; opens the line
    details : values for other {names} in the words of the advice
    """

    def __init__(
        self,
        finding: object,
        advice: str | None = None,
        *,
        argument: str | None = None,
        **details: object,
    ) -> None:
        super().__init__(finding, advice)
        self.finding = printable(finding)
        self.advice = advice
        self.argument = argument
        self.details = details

    def __str__(self) -> str:
        return self.worded(lambda argument: _PYTHON.get(argument, argument))

    def worded(self, spell: Callable[[str], str]) -> str:
        """The whole line; `spell` says how the user writes an argument, such as "out" or
        "overwrite".
        """
        begin = f"{spell(self.argument)}: " if self.argument else ""
        end = re.sub(
            r"\{([\w-]+)\}",
            lambda name: str(self.details[name[1]]) if name[1] in self.details else spell(name[1]),
            ADVICE[self.advice] if self.advice else "",
        )
        return printable(begin + self.finding + end)


class RasterError(InputError):
    """A file of spikes or maps is not what it should be; the message names file, place, finding,
    expectation.
    """


class ExistsError(InputError):
    """A file is there already, and may not be replaced."""


class OtherFormatError(RasterError):
    """A sound file, but of maps instead of spikes, or the other way round."""


def finding(error: Exception) -> str:
    """The finding of an error, in one line without advice, to be told in another one."""
    if isinstance(error, InputError):
        return error.finding
    text = printable(error) or type(error).__name__
    if isinstance(error, OSError):
        files = " -> ".join(
            str(name) for name in (error.filename, error.filename2) if name is not None
        )
        text = error.strerror or text
        return printable(f"{files}: {text}" if files else text)
    return text


def did_you_mean(name: str, valid: Sequence[str]) -> str:
    """ "; did you mean 'x'?" with the nearest valid name, or nothing if none is near."""
    near = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
