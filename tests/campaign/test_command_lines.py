"""Command lines of every command: good ones of which a word or two are replaced by what no one
should type.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import given, note
from hypothesis import strategies as st

from tests.campaign.hostile import TEXTS
from tests.campaign.isolated import LINUX, Refused, cases, tried
from tests.campaign.process import Ended, run
from tests.campaign.workplace import RECIPES

pytestmark = LINUX
EXPLAIN = "explain raster.h5 --out out.h5 --figures new --layers conv1 --gamma 0.5"
LINES = (
    *(recipe.line for name, recipe in RECIPES.items() if name != "lava"),
    *(
        "validate raster.h5",
        EXPLAIN,
        f"{RECIPES['event'].line} --precision fixed --device cpu --seed 0",
    ),
    f"{RECIPES['train'].line} --training.epochs 1 --training.learning-rate 0.1 --training.seed 1",
    f"{RECIPES['gradcam'].line} --layers conv1 --seed 3",
)
WORDS = (
    *(
        "0",
        "-1",
        "1.5",
        "1e3",
        "nan",
        "inf",
        "9" * 30,
        "9" * 5000,
        str(1 << 63),
        "meta",
        "cuda:99",
        "mps",
        "tpu",
    ),
    *(
        "none",
        "--out",
        "--help",
        "--",
        "-",
        "-x",
        "--resume",
        "--overwrite",
        "--no-such",
        "--samples=",
        "--samples=x",
    ),
    *(
        "--seed=-1",
        ".",
        "..",
        "/",
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/proc/self/mem",
        "/proc/self/fd/0",
        "*",
    ),
    *(
        "images",
        "images/",
        "snn.safetensors",
        "ann.safetensors",
        "raster.h5",
        "small.toml",
        "paper.toml",
        "a" * 300,
    ),
    *(
        "images/apple/0.png",
        "missing",
        "missing/deep/er",
        "~root",
        "raster.h5/x",
        "con\tne",
        "ann",
        "cluttered-digit",
    ),
    *("fig33", "conv9", "lava,torch", "\udcff", "a\udcffb.h5"),
    *(text for text in TEXTS if "\0" not in text and "\ud800" not in text and len(text) < 60000),
)
LOG = re.compile(r"out/(config\.toml|tensorboard|metrics\.csv)")  # of a training that diverged


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A good line with one or two words changed."""
    words = draw(st.sampled_from(LINES)).split()
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        place, new = draw(st.integers(1, len(words) - 1)), draw(st.sampled_from(WORDS))
        what = draw(st.sampled_from(("replace", "replace", "replace", "insert", "remove", "join")))
        if (
            what == "insert" or words[place] == "--config"
        ):  # the small configuration stays: another trains for an hour
            words.insert(place, new)
        elif what == "remove" and len(words) > 2:
            del words[place]
        else:
            words[place] = new if what == "replace" else words[place] + new
    for place, word in enumerate(words[:-1]):  # work without end is no hang
        if (
            word in ("--seeds", "--training.epochs")
            and words[place + 1].isdecimal()
            and len(words[place + 1]) > 2
        ):
            words[place + 1] = "3"
    return words


@cases(short=8, long=400)
@given(words=lines(), apart=st.sampled_from((False,) * 30 + (True,)))
def test_done_or_refused_in_one_line_and_nothing_left(
    workplace: Path, words: list[str], apart: bool
) -> None:
    case = Path(tempfile.mkdtemp(prefix="case-", dir=workplace))
    shutil.copytree(workplace / "work", case / "work")
    note(f"{' '.join(words)!r:.500} in {case / 'work'}")
    tried(finish_line, words, case / "work", apart, seconds=60, memory=4 << 30)
    shutil.rmtree(case)


def finish_line(words: list[str], work: Path, apart: bool) -> str:
    """Type a command; it must be done, or refused and leave nothing."""
    before = everything(work)
    ended = (typed if apart else run)(words, work)
    if not ended.code:
        return "another valid"
    ended.check(reports=words[0] == "train")
    after = everything(work)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if "training: the loss is" in ended.line:
        changed = {key for key in changed if not LOG.match(key)}
    assert not changed, f"refused ({ended.line[:150]}), but it left or changed {sorted(changed)}"
    return Refused(ended.line)


def typed(words: list[str], work: Path) -> Ended:
    """A command in a Python of its own."""
    code = (
        "import sys; from spikesam.pipeline.cli.main import main; sys.argv[0] = 'spikesam'; main()"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=work, capture_output=True, check=False
    )
    return Ended(found.returncode, found.stderr.decode(errors="replace"))


def everything(folder: Path) -> dict[str, bytes | None]:
    """What lies in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
