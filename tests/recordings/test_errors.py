"""An error says in the words of Python what would help, and hands that on by name."""

import pickle

import pytest

from spikesam.recordings.errors import ADVICE, Advice, InputError, RasterError, finding


def test_what_would_help_is_worded_as_arguments() -> None:
    error = RasterError("c.h5: already exists", "overwrite")
    assert str(error) == "c.h5: already exists; choose another out, or replace it with overwrite=True"
    assert (error.advice, error.finding) == ("overwrite", "c.h5: already exists")
    assert str(InputError("got 'x', expected 1", argument="samples")) == "samples: got 'x', expected 1"
    assert str(InputError("nothing fits", "without-labels", files="a/*")).endswith("without their labels: data is a/*")


@pytest.mark.parametrize("advice", ADVICE)
def test_an_option_of_a_command_is_named_only_by_who_asks(advice: Advice) -> None:
    error = InputError("x: 100 % {out}", advice, files="{a}")
    assert "--" not in str(error)
    assert error.worded(lambda argument: f"<{argument}>").startswith("x: 100 % {out}")
    assert "<" in error.worded(lambda argument: f"<{argument}>")


def test_an_error_stays_what_it_is_on_its_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(RasterError("x", "without-labels", argument="data", files="f")))
    assert isinstance(error, RasterError)
    assert vars(error) == {"finding": "x", "advice": "without-labels", "argument": "data", "details": {"files": "f"}}


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (InputError("a  b: wrong", "resume"), "a  b: wrong"),
        (OSError(28, "No space left on device", "x.h5"), "x.h5: No space left on device"),
        (OSError("unable to open file"), "unable to open file"),
        (RuntimeError("first\nsecond"), "first second"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_finding_is_told_without_advice(error: Exception, found: str) -> None:
    assert finding(error) == found
