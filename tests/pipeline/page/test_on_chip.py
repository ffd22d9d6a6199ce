"""The page of a run that was simulated on the model of a chip, by a file that anybody may write."""

import base64
import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import spikesam
from spikesam.common.errors import InputError
from spikesam.pipeline.chips.result_file import NAME, STAMP
from spikesam.pipeline.page.write import report
from tests.pipeline.page.pages import runs_of

HOSTILE = "</script><script>alert(1)</script>"
CORE = {"core": 5, "x": 0, "y": 1, "layers": HOSTILE, "received": 3.0, "busy": 1e-7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Spikes, and what they take on the model of a chip."""
    spikes = {"fc1": np.ones((1, 2, 3, 1, 1), bool)}
    spikesam.write_raster(tmp_path / "run" / "raster.h5", spikes)
    return tmp_path / "run"


def write(folder: Path, **changes: Any) -> None:
    with spikesam.open_raster(folder) as raster:
        digest = raster.raster_digest
    parts = {"synapse": 1e-6, "soma": 2e-6, "network": 0.0}
    row = {"layer": HOSTILE, "cores": 2, **parts, "busiest": 1, "busy": 1e-7}
    amounts = {"joules": 3e-6, "seconds": 2e-6, "step_seconds": 1e-6}
    counts = {"samples": 1, "cores": [CORE], "cores_per_tile": 4, "bits": 0, "compared": 6}
    about = {"raster_digest": digest, "chip": "loihi", "version": "2.2.9"}
    content = STAMP.attributes | about | counts | amounts | {"layers": [row]} | changes
    (folder / NAME).write_text(json.dumps(content))


def shown(folder: Path) -> tuple[Any, list[str]]:
    (content,) = runs_of(report(folder, folder.parent / "page.html", overwrite=True))
    return content["chip"], [note for note in content["notes"] if NAME in note]


def test_the_result_is_on_the_page_by_layer(folder: Path) -> None:
    assert shown(folder) == (None, [])
    write(folder)
    content, notes = shown(folder)
    assert notes == [] and (content["name"], content["stepSeconds"]) == ("Loihi", 1e-6)
    assert content["rows"][0]["layer"] == HOSTILE and content["rows"][0]["soma"] == 2e-6
    assert content["cores"] == 1
    picture = Image.open(BytesIO(base64.b64decode(content["mesh"].partition(",")[2])))
    assert picture.format == "PNG" and picture.width > 400
    assert HOSTILE not in (folder.parent / "page.html").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raster_digest": "0" * 64}, "It is of an earlier raster than raster.h5"),
        ({"raster_digest": 7}, "raster_digest is 7"),
        ({"format": "spikesam-raster"}, "is not what a run takes on the model of a chip"),
        ({"schema_version": 1}, "schema_version is 1, expected 2"),
        ({"chip": "brain"}, "chip is 'brain'"),
        ({"joules": float("nan")}, "joules is nan"),
        ({"seconds": -1}, "seconds is -1"),
        ({"samples": 1e300}, "samples is 1e+300"),
        ({"cores": 2}, "cores is 2"),
        ({"cores": [CORE | {"x": 1 << 20}]}, "x is 1048576"),
        ({"cores": [CORE] * 2000}, "cores"),
        ({"cores_per_tile": 0}, "cores_per_tile is 0"),
        ({"layers": []}, "layers is []"),
        ({"layers": [{}] * 5000}, "layers"),
        ({"layers": {"fc1": 1}}, "layers is {'fc1': 1}"),
        ({"more": 1}, "more is 1"),
    ],
)
def test_what_is_no_result_of_the_run_is_named_in_one_line(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    write(folder, **changes)
    content, notes = shown(folder)
    assert content is None and len(notes) == 1 and "\n" not in notes[0]
    assert notes[0].startswith(f"{NAME} is not shown. ") and message in notes[0]


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff\x00", b"[" * 100_000, b" " * (1 << 23)])
def test_what_is_no_json_is_named_in_one_line(folder: Path, text: bytes) -> None:
    (folder / NAME).write_bytes(text)
    content, notes = shown(folder)
    assert content is None and len(notes) == 1 and len(notes[0]) < 300


def test_a_link_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    write(folder)
    shutil.move(folder / NAME, folder.parent / "other.json")
    (folder / NAME).symlink_to(folder.parent / "other.json")
    with pytest.raises(InputError, match="is a link that leads out of"):
        report(folder, folder.parent / "page.html")
