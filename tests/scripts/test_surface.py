"""What is public is what tests/surface.txt says, and a change of it is seen."""

from difflib import unified_diff

import pytest

from scripts import surface


@pytest.mark.long
def test_the_file_lists_what_is_public() -> None:
    pytest.importorskip("lightning", reason="some public names need all extras")
    written, now = surface.SURFACE.read_text(encoding="utf-8"), surface.surface()
    changes = [*unified_diff(written.splitlines(), now.splitlines(), "file", "code", lineterm="")]
    assert not changes, "\n".join(
        ["what is public has changed; if it shall: python -m scripts.surface", *changes]
    )


class Shape:
    """A class with a public and a private member of each kind."""

    side: int = 1

    def __init__(self, side: int = 1, *, names: tuple[str, ...] = (), _secret: int = 0) -> None:
        self._side = side

    @classmethod
    def square(cls, side: int) -> "Shape":
        """Make one."""
        return cls(side)

    def area(self, scale: float = 2.0) -> float:
        """Compute it."""
        return self._side**2 * scale

    def _hidden(self) -> None:
        """Do nothing."""


def test_a_class_is_listed_with_public_members_and_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Shape, "__module__", "spikesam.shapes")
    assert sorted(surface.class_lines("Shape", Shape)) == [
        "Shape(side=1, *, names=…)",
        "Shape.area(self, scale=2.0)",
        "Shape.side",
        "Shape.square(cls, side)",
    ]


def test_types_in_json_are_one_word_or_several() -> None:
    assert surface.json_type({"anyOf": [{"type": "number"}, {"type": "null"}]}) == "number | null"
    assert surface.json_type({"type": "array", "items": {"$ref": "#/$defs/Interval"}}) == (
        "list of Interval"
    )
    assert surface.json_type({"enum": ["fixed", "float32"]}) == "'fixed' | 'float32'"
    assert surface.json_type({}) == "any"
