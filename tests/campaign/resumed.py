"""Shards and manifest of a run that was killed, damaged before it is continued."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

from . import workplace
from .checkpoints import edit_json
from .damage import damage
from .faults import Boundaries
from .hostile import text
from .outcomes import Outcome
from .process import aside, run
from .rasters import zero_heap
from .structured import edit
from .subject import Finding, Subject, load_plan, save_plan
from .workplace import RECIPES, measured, shared

NAME = "event"


class Resumed(Subject):
    """Damaged shards and manifests: --resume computes them again, or refuses and keeps the rest."""

    name = "shards"
    weight = 1.0
    seconds = 30.0
    memory = 2 << 30
    batch = 4
    modules = workplace.MODULES

    def build(self, base: Path) -> None:
        """See :class:`Subject`."""
        workplace.build(shared(base), (NAME,))
        kill_with_shards(shared(base), base)

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """See :class:`Subject`."""
        work = workplace.copy(base / "work", case / "work")
        parts = work / "out" / "raster.parts"
        shards = sorted(parts.glob("*.h5"))
        path, other = random.choice(shards), random.choice(shards)
        what = "heap" if number == 0 else random.choice(("bytes", "bytes", "edit", "manifest", "manifest", "files"))
        if what == "heap":
            done = zero_heap(path)
        elif what == "bytes":
            data, done = damage(random, path.read_bytes(), other.read_bytes())
            path.write_bytes(data)
        elif what == "edit":
            done = edit(path, random)
        elif what == "manifest":
            path = parts / "manifest.json"
            done = edit_manifest(path, random)
        else:
            done = edit_files(parts, path, other, random)
        save_plan(case, {})
        return f"{path.name}: {done}"

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        load_plan(case)
        work, recipe = case / "work", RECIPES[NAME]
        good = measured(shared(base), NAME)
        shards = {path: path.read_bytes() for path in (work / "out").rglob("*.h5") if path.is_file()}
        ended = run((*recipe.words, *recipe.again), work)
        if found := ended.finding(recipe.reports):
            return found
        if ended.code == 2:
            lost = [path.name for path, content in shards.items() if not path.exists() or path.read_bytes() != content]
            if len(lost) > 1:
                return Outcome.WRONG, f"refused ({ended.line[:150]}), and {', '.join(lost)} are gone"
            return Outcome.REFUSED, ended.line
        if found := aside(workplace.broken, work):
            return Outcome.WRONG, found
        left = aside(workplace.results, work, recipe)
        if left != good["results"]:
            differ = [key for key in left if left[key] != good["results"].get(key)]
            return Outcome.WRONG, f"{', '.join(differ)} differ from an undisturbed command's"
        return Outcome.IDENTICAL, ""


def kill_with_shards(shared: Path, base: Path) -> None:
    """Leave a run that was killed when it had finished two shards."""
    work = workplace.copy(shared / "work", base / "work")
    parts = work / "out" / "raster.parts"
    run(RECIPES[NAME].words, work, Boundaries(when=lambda: len(list(parts.glob("0*.h5"))) >= 2).install)
    assert len(list(parts.glob("0*.h5"))) >= 2, "the run ended before it had finished two shards"


def edit_manifest(path: Path, random: Random) -> str:
    """Damage or edit the JSON."""
    choice = random.random()
    if choice < 0.4:
        data, done = damage(random, path.read_bytes(), path.read_bytes())
        path.write_bytes(data)
        return done
    if choice < 0.9:
        content = json.loads(path.read_text())
        done = edit_json(random, content)
        path.write_text(json.dumps(content))
        return done
    new = random.choice(("", "{}", "[]", "null", "[" * 100000, '{"a":' * 100000, "1" * 5000, text(random)))
    path.write_text(new, "utf-8", "surrogatepass")
    return f"{new!r:.40}"


def edit_files(parts: Path, path: Path, other: Path, random: Random) -> str:
    """Files that are missing, copied, renamed, linked, or folders."""
    what = random.choice(("gone", "copy", "rename", "swap", "link", "outside", "folder", "odd", "tmp", "none"))
    if what == "gone":
        path.unlink()
    elif what == "copy":
        shutil.copy(path, parts / random.choice(("00000001.h5", "99999999.h5", "x.h5", "-1.h5", "00000016.h5", "٣.h5")))
    elif what == "rename":
        path.rename(parts / random.choice(("00000005.h5", "16.h5", "0000.h5", "1e1.h5")))
    elif what == "swap":
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif what == "link":
        path.unlink()
        path.symlink_to(other.name)
    elif what == "outside":
        path.unlink()
        path.symlink_to(random.choice(("/dev/zero", "/etc/passwd", "missing", path.name)))
    elif what == "folder":
        path.unlink()
        path.mkdir()
    elif what == "odd":
        (parts / random.choice(("notes.txt", "\x1b[2J.h5", "a" * 200 + ".h5", ".h5"))).write_text("mine")
    elif what == "tmp":
        (parts / random.choice(("00000000.h5.tmp", "x.tmp", "manifest.json.tmp"))).mkdir()
    else:
        shutil.rmtree(parts)
        parts.mkdir()
    return what
