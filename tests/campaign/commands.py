"""Command lines of every command: good ones of which a word or two are replaced by what no one should type."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random

from . import workplace
from .hostile import TEXTS
from .outcomes import Outcome
from .process import Ended, run
from .subject import Finding, Subject, load_plan, save_plan
from .workplace import RECIPES, shared

EXTRA = {
    "validate": ("validate", "raster.h5"),
    "figures": ("explain", "raster.h5", "--out", "out.h5", "--figures", "new", "--layers", "conv1", "--gamma", "0.5"),
    "options": (*RECIPES["event"].words, "--precision", "fixed", "--device", "cpu", "--seed", "0"),
    "training": (
        *RECIPES["train"].words,
        "--training.epochs",
        "1",
        "--training.learning-rate",
        "0.1",
        "--training.seed",
        "1",
    ),
    "layers": (*RECIPES["gradcam"].words, "--layers", "conv1", "--seed", "3"),
}
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
        "none",
    ),
    *(
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
        "--seed=-1",
    ),
    *(".", "..", "/", "/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "/proc/self/fd/0", "images", "images/"),
    *("snn.safetensors", "ann.safetensors", "raster.h5", "small.toml", "paper.toml", "images/apple/0.png", "a" * 300),
    *("missing", "missing/deep/er", "~root", "raster.h5/x", "*", "con\tne", "ann", "cluttered-digit", "fig33", "conv9"),
    *("lava,torch", "\udcff", "a\udcffb.h5"),
)
LOG = re.compile(r"out/(config\.toml|tensorboard|metrics\.csv)")  # of a training that diverged
SUBPROCESS = 0.03  # share of the trials that start a Python of their own


class Commands(Subject):
    """Hostile command lines: exit code 0, or 2 with one line and nothing left."""

    name = "commands"
    weight = 1.0
    seconds = 60.0
    memory = 4 << 30
    batch = 4
    modules = workplace.MODULES

    def build(self, base: Path) -> None:
        """See :class:`Subject`."""
        workplace.build(shared(base), ())

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """See :class:`Subject`."""
        lines = {name: recipe.words for name, recipe in RECIPES.items() if name != "lava"} | EXTRA
        words = list(lines[random.choice(sorted(lines))])
        hostile = [text for text in TEXTS if "\0" not in text and "\ud800" not in text and len(text) < 60000]
        for _ in range(random.choice((1, 1, 2))):
            place, new = random.randrange(1, len(words)), random.choice((random.choice(WORDS), random.choice(hostile)))
            what = random.choice(("replace", "replace", "replace", "insert", "remove", "join"))
            if words[place] == "--config":
                what = "insert"  # the small configuration stays: with the default one, training takes an hour
            if what == "replace":
                words[place] = new
            elif what == "insert":
                words.insert(place, new)
            elif what == "remove" and len(words) > 2:
                del words[place]
            else:
                words[place] += new
        for place, word in enumerate(words[:-1]):  # work without end is no hang
            if word in ("--seeds", "--training.epochs") and words[place + 1].isdecimal() and len(words[place + 1]) > 2:
                words[place + 1] = "3"
        save_plan(case, {"words": words, "subprocess": random.random() < SUBPROCESS})
        workplace.copy(shared(base) / "work", case / "work")
        return " ".join(word if len(word) < 60 else f"{word[:50]}…({len(word)})" for word in words)

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        plan, work = load_plan(case), case / "work"
        before = everything(work)
        ended = typed(plan["words"], work) if plan["subprocess"] else run(plan["words"], work)
        if ended.code == 0:
            return Outcome.OTHER, ""
        if found := ended.finding(plan["words"][0] == "train"):
            return found
        after = everything(work)
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        if "training: the loss is" in ended.line:
            changed = [key for key in changed if not LOG.match(key)]
        if changed:
            return Outcome.WRONG, f"refused ({ended.line[:150]}), but it left or changed {', '.join(changed)[:200]}"
        return Outcome.REFUSED, ended.line


def typed(words: list[str], work: Path) -> Ended:
    """A command in a Python of its own."""
    code = "import sys; from pipeline.cli.main import main; sys.argv[0] = 'spikesam'; main()"
    typed = ["-m", *words] if words[0] == "paper" else ["-c", code, *words]
    found = subprocess.run([sys.executable, *typed], cwd=work, capture_output=True, check=False)
    return Ended(found.returncode, found.stderr.decode(errors="replace"), 0.0)


def everything(folder: Path) -> dict[str, bytes | None]:
    """What lies in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
