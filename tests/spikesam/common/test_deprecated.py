"""A deprecated function warns where it is called, and works as before."""

import inspect
import warnings

import pytest

from spikesam.common.deprecated import deprecated


@deprecated("0.2.0", "0.4.0", "new()")
def old(first: int, second: int = 2) -> int:
    """Add two numbers."""
    return first + second


def test_a_call_works_and_warns_on_its_own_line_with_versions_and_replacement() -> None:
    with pytest.warns(DeprecationWarning, match="new") as caught:
        assert old(1, second=5) == 6
    (warning,) = caught
    assert str(warning.message) == (
        "old is deprecated since spikesam 0.2.0, and 0.4.0 will not have it: use new()"
    )
    assert warning.filename == __file__


def test_its_name_signature_and_docstring_stay() -> None:
    assert (old.__name__, inspect.getdoc(old)) == ("old", "Add two numbers.")
    assert list(inspect.signature(old).parameters) == ["first", "second"]


def test_nothing_warns_before_a_call() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deprecated("0.2.0", "0.4.0", "new()")(len)
