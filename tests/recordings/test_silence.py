"""What libraries write past Python is not seen."""

from __future__ import annotations

import os

import pytest

from recordings.silence import silent_libraries


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
