"""Spoiled files: each is read as what it is, or refused in one line, within limits on time and
memory.
"""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from spikesam.pipeline.engine.folder import begin
from spikesam.pipeline.engine.job import JobSpec, read_spec
from spikesam.pipeline.engine.range_file import RangeFile
from spikesam.pipeline.engine.summary import read_summary
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.pictures import read_pictures
from tests.campaign.forge import reseal
from tests.campaign.formats import FORMATS, Content
from tests.campaign.formats.base import compared
from tests.campaign.formats.zips import add, members
from tests.campaign.inflated import png_bomb, zip_bomb
from tests.campaign.isolated import LINUX, Refused, attempt, cases, only_long, tried
from tests.pipeline.engine.jobs import job

pytestmark = LINUX
REGRESSIONS = Path(__file__).with_name("regressions")
FIRST_RANGE = "00000000.range"
Originals = tuple[
    str, dict[Path, Content]
]  # the name of a format; good files, each with what it says


@pytest.fixture(scope="session", params=FORMATS)
def originals(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Originals:
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, attempt(make, request.param, folder, seconds=60)


def make(name: str, folder: Path) -> dict[Path, Content]:
    """Good files of a format; they must read alike twice."""
    good = {path: FORMATS[name].read(path) for path in FORMATS[name].originals(folder)}
    for path, content in good.items():
        assert FORMATS[name].read(path) == content, f"{path.name} reads differently the second time"
    return good


@cases(short=12, long=1000)
@given(random=st.randoms(use_true_random=False))
def test_a_spoiled_file(originals: Originals, random: Random) -> None:
    name, good = originals
    path, other = random.choice(sorted(good)), random.choice(sorted(good))
    folder = Path(tempfile.mkdtemp(prefix="case-", dir=path.parent))  # stays, if the test fails
    spoiled = shutil.copy(path, folder / f"input{path.suffix}")
    done, valid = FORMATS[name].spoil(random, spoiled, other.read_bytes())
    note(f"{path.name}: {done}; the file: {spoiled}")
    tried(
        compared,
        FORMATS[name].read,
        FORMATS[name].checksummed,
        spoiled,
        good[path],
        valid,
        list(good.values()),
    )
    shutil.rmtree(folder)


@pytest.mark.parametrize("kept", sorted(REGRESSIONS.iterdir()), ids=lambda path: path.name)
def test_what_failed_once_fails_no_more(kept: Path, tmp_path: Path) -> None:
    """Each folder is a small case that once failed; its name begins with the format."""
    plan = json.loads((kept / "case.json").read_text())
    shutil.copy(kept / plan["file"], tmp_path)
    format = FORMATS[kept.name.partition("-")[0]]
    about = tmp_path / plan["file"], plan["good"], plan["valid"], plan["all"]
    attempt(compared, format.read, format.checksummed, *about)


def read_bomb(name: str, path: Path) -> None:
    """As a command does; maps are made of a raster."""
    import spikesam

    FORMATS[name].read(path) if name != "rasters" else explain(
        spikesam.open_raster(path), path.with_suffix(".sam.h5")
    )


def explain(raster: object, out: Path) -> None:
    """Verify a raster, and make its maps."""
    import spikesam

    with raster:
        raster.verify()
        with spikesam.explain(raster, out=out) as maps:
            maps.verify()
            assert maps.read_sum(maps.layers[0], 0).sum() >= 0


def write_bomb(kind: str, path: Path) -> None:
    """A small file that asks for much memory or time."""
    import spikesam

    one = {"sample": [0], "step": [0], "neuron": [5]}
    if kind == "large":
        spikesam.write_raster(
            path, {"conv1": spikesam.SpikeEvents(**one, shape=(1, 16384, 1, 256, 512))}
        )
    elif kind == "many samples":
        spikesam.write_raster(
            path, {"conv1": spikesam.SpikeEvents(**one, shape=(512, 4, 1, 512, 1024))}
        )
    elif kind.startswith("images"):
        names = sorted(name for name in members() if name.endswith(".JPEG"))
        path.write_bytes(zip_bomb(names, 1200 << 20, 10 if "lie" in kind else None))
        add(path, {name: content for name, content in members().items() if name not in names})
    elif kind.startswith("13300"):
        path.write_bytes(png_bomb(13300, 13300, int(kind[-1])))
    else:
        begin, again = {
            "brackets": ("a = ", "["),
            "digits": ("[run]\nseed = ", "9"),
            "parts": ("", "a.b"),
        }[kind]
        path.write_text(begin + again * 10**6)


@only_long
@pytest.mark.parametrize(
    ("name", "file", "kind", "refused"),
    [
        *(("rasters", "a.h5", kind, False) for kind in ("large", "many samples")),
        *(("zips", "a.zip", kind, True) for kind in ("images", "images that lie")),
        *(("images", "a.png", kind, False) for kind in ("13300², 1", "13300², 8")),
        *(("toml", "a.toml", kind, True) for kind in ("brackets", "digits", "parts")),
    ],
)
def test_a_small_file_that_asks_for_much(
    name: str, file: str, kind: str, refused: bool, tmp_path: Path
) -> None:
    attempt(write_bomb, kind, tmp_path / file, seconds=60, memory=4 << 30)
    found = attempt(read_bomb, name, tmp_path / file, seconds=60)
    assert isinstance(found, Refused) or not refused


def write_file_of_a_run(kind: str, folder: Path) -> None:
    """A file of a run that has the right form on the outside, and millions of numbers inside."""
    rows = "[0]," * (4 << 20)
    if kind == "range":
        spec = begun(folder)
        record = {"job": spec.identity, "names": [0] * (30 << 20), "sections": {}}
        (folder / "raster.parts" / FIRST_RANGE).touch()
        reseal(folder / "raster.parts" / FIRST_RANGE, record, {})
    elif kind == "job":
        begun(folder)
        (folder / "raster.parts" / "job.json").write_text('{"index": [' + rows * 8 + "[0]]}")
    elif kind == "summary":
        (folder / "summary.json").write_text('{"answers": [' + rows[: 15 << 20] + "[0]]}")
    elif kind == "pictures":
        add(
            folder / "pictures.zip",
            {"samples.json": f'{{"samples": [{rows[: 15 << 20]}[0]]}}'.encode()},
        )
    else:
        deep = "/".join("abcdefghijklmnopqrstuvwxyz012")
        with zipfile.ZipFile(folder / "images.zip", "w") as archive:
            for number in range(1 << 16):
                archive.writestr(f"{number}/{deep}/0.png", b"")


def begun(folder: Path) -> JobSpec:
    """What a run in a folder computes, of which nothing is computed yet."""
    begin(folder, job())
    return read_spec(folder / "raster.parts" / "job.json")


def read_file_of_a_run(kind: str, folder: Path) -> None:
    """As the commands that need it do."""
    if kind == "range":
        RangeFile(folder / "raster.parts" / FIRST_RANGE, job().spec)
    elif kind == "job":
        read_spec(folder / "raster.parts" / "job.json")
    elif kind == "summary":
        read_summary(folder / "summary.json", 1)
    elif kind == "pictures":
        read_pictures(folder, [])
    else:
        open_dataset(str(folder / "images.zip"), "val")


@only_long
@pytest.mark.parametrize("kind", ["range", "job", "summary", "pictures", "folders"])
def test_a_file_of_a_run_that_asks_for_much(kind: str, tmp_path: Path) -> None:
    attempt(write_file_of_a_run, kind, tmp_path, seconds=60, memory=4 << 30)
    assert isinstance(attempt(read_file_of_a_run, kind, tmp_path, seconds=20), Refused)
