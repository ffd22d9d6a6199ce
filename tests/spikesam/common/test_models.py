"""JSON of unknown origin as a model: the first mistake, in one line."""

import tracemalloc

import pytest
from pydantic import BaseModel

from spikesam.common.errors import InputError
from spikesam.common.models import Many, parse_model


class Shelf(BaseModel):
    name: str
    sizes: Many[int]
    boxes: dict[str, Many[int]] = {}


def test_a_text_becomes_a_model() -> None:
    shelf = parse_model(Shelf, b'{"name": "a", "sizes": [1, 2], "boxes": {"b": [3]}}')
    assert shelf == Shelf(name="a", sizes=[1, 2], boxes={"b": [3]})


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (b'{"sizes": []}', "name is {'sizes': []}: Field required"),
        (
            b'{"name": "a", "sizes": [1, 2, "x", "y"]}',
            "sizes.2 is 'x': Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            b'{"name": "a", "sizes": [NaN]}',
            "sizes.0 is nan: Input should be a finite number",
        ),
        (b'{"name": "a", "sizes": [1, 2, 3, 4, 5]}', "holds 9 commas"),
        (b"[]", "it is []: Input should be a valid dictionary or instance of Shelf"),
    ],
)
def test_the_first_mistake_is_named(text: bytes, finding: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_model(Shelf, text, max_marks=8)
    assert str(refused.value).startswith(finding)


def test_a_hundred_thousand_mistakes_take_little_memory() -> None:
    """Pydantic would keep 1,500 bytes of each: 150 MB."""
    text = b'{"name": "a", "sizes": [[]' + b",[]" * 100_000 + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"sizes\.0 is \[\]: Input should be a valid integer"):
            parse_model(Shelf, text)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
