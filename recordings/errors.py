"""The errors that mean "what you gave is wrong", shared by every package and command."""

from .text import printable


class InputError(ValueError):
    """Something given by the user is missing, malformed or does not fit.

    The message is a single line: where, what was found, what would be right. Commands print it and exit with code 2;
    anything else that escapes a command is an internal failure (exit code 1). Names and values in a message come from
    files and command lines: whatever they are, the line can be printed and is not long.
    """

    def __init__(self, message: object) -> None:
        super().__init__(printable(message))


class RasterError(InputError):
    """A file of spikes or maps is not what it should be; the message names file, place, finding, expectation."""


class OtherFormatError(RasterError):
    """A sound file, but of maps instead of spikes, or the other way round."""
