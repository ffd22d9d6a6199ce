"""What libraries write past Python is not seen."""

import os
import warnings

import pytest

from spikesam.pipeline.images._quiet_libraries import silent_libraries, silent_warnings


def fail():
    with silent_libraries():
        os.write(2, b"within ")
        raise ValueError("kept")


def test_only_the_block_is_silent(capfd):
    os.write(2, b"before ")
    with pytest.raises(ValueError, match="kept"):
        fail()
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_threads_that_overlap_leave_the_warnings_as_they_were():
    first, second = silent_warnings(), silent_warnings()  # as two threads enter and leave them
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        warnings.warn("not seen", stacklevel=1)
        second.__exit__(None, None, None)
        with pytest.raises(UserWarning, match="seen"):
            warnings.warn("seen", stacklevel=1)
