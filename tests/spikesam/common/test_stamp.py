import pytest

from spikesam.common.stamp import Stamp, StampError

STAMP = Stamp("spikesam-example", 2, "an example")


def test_what_is_written_is_accepted_as_numbers_and_as_texts():
    STAMP.check(STAMP.attributes.get)
    STAMP.check({"format": "spikesam-example", "schema_version": "2"}.get)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "is not an example: format is None, expected 'spikesam-example'"),
        (
            {"format": "spike-maps", "schema_version": 2},
            "is not an example: format is 'spike-maps', expected",
        ),
        ({"format": "spikesam-example"}, "schema_version is None, expected 2; read it with"),
        ({"format": "spikesam-example", "schema_version": 3}, "schema_version is 3, expected 2"),
        ({"format": "spikesam-example", "schema_version": 2.0}, "schema_version is 2.0, expected"),
        (
            {"format": ["x"] * 10**6},
            "is not an example: format is ['x', 'x', 'x', 'x', 'x', 'x', ...], expected",
        ),
    ],
)
def test_another_stamp_is_refused(attributes, message):
    with pytest.raises(StampError) as error:
        STAMP.check(attributes.get)
    assert str(error.value).startswith(message)


def test_of_another_format_no_version_is_read():
    asked = []

    def read(name):
        asked.append(name)
        return "spike-raster"

    with pytest.raises(StampError):
        STAMP.check(read)
    assert asked == ["format"]
