"""Errors of files of spikes and maps."""

from __future__ import annotations

from spikesam.common.errors import InputError


class RasterError(InputError):
    """A file of spikes or maps is not what it should be; the message names file, place, finding,
    expectation.
    """


class OtherFormatError(RasterError):
    """A sound file, but of maps instead of spikes, or the other way round."""
