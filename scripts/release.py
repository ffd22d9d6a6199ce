"""Check and build a release: make release VERSION=0.1.0

Refuses, in one line, a version that is not named everywhere, a changed working tree, placeholders,
pages that are not of these results, builds that differ, a recipe that rattler-build cannot read,
and a wheel that does not work, alone or with an extra, with the oldest or the newest versions of
what it needs. Leaves in `dist/` the source distribution, the wheel, a bill of materials (CycloneDX)
and digests, and in `dist/listings/` a recipe for conda-forge and an entry for Open Neuromorphic's
list.

`NEWEST=3.13` tries the newest packages on another Python than 3.14. `CHECKS=skip` leaves `.ci/run`
out, for who has just run it. The last lines say so.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

from scripts.commands import CommandError, ReleaseError, run
from scripts.release_environments import TRIES, refuse_untried_extras, try_wheel

ROOT = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = "3.11", "3.14"  # versions of Python in which the wheel is tried
PLACEHOLDER = "placeholder.invalid"
CHECKED_FOR_PLACEHOLDERS = (
    "pyproject.toml",
    "CITATION.cff",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
    "README.md",
)
CONDA_NAMES = {"isal": "python-isal", "matplotlib": "matplotlib-base"}  # where they differ
# conda-forge's own check of a recipe, in a process of its own: the path of the recipe follows.
CHECK_RECIPE = """
import sys
from rattler_build import RattlerBuildError, Stage0Recipe
try:
    Stage0Recipe.from_file(sys.argv[1]).render()
except RattlerBuildError as error:
    sys.exit(" ".join(str(error).split()))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, build, try, and say what was left out."""
    parser = argparse.ArgumentParser(prog="python -m scripts.release", description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--checks", choices=("run", "skip"), default="run", help=".ci/run")
    parser.add_argument("--versions-only", action="store_true", help="compare versions, end then")
    parser.add_argument(
        "--newest",
        default=NEWEST,
        help=f"Python in which the newest packages are tried, if not {NEWEST}",
    )
    options = parser.parse_args(arguments)
    try:
        date = release_date(ROOT, options.version)
        print(f"version {options.version} of {date}: pyproject.toml, CITATION.cff, CHANGELOG.md")
        if not options.versions_only:
            release(options.version, options.checks, options.newest)
    except ReleaseError as error:
        sys.exit(f"error: {error}")


def release(version: str, checks: str, newest: str) -> None:
    """All steps after the comparison of versions, the quick ones first."""
    project = project_of(ROOT)
    refuse_changes(ROOT)
    refuse_placeholders(ROOT)
    refuse_untried_extras(project)
    refuse_missing_pythons((OLDEST, newest))
    refuse_other_pages(ROOT)
    if checks == "run":
        run([".ci/run"], ROOT)
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    wheel, archive = build_twice(ROOT, dist)
    refuse_missing_licences(ROOT, wheel)
    # The audit reports, and refuses nothing.
    print(run([sys.executable, "scripts/audit.py"], ROOT), end="")
    listings = dist / "listings"
    listings.mkdir()
    (listings / "recipe.yaml").write_text(conda_recipe(ROOT, version, archive), encoding="utf-8")
    refuse_faulty_recipe(listings / "recipe.yaml")
    (listings / "open-neuromorphic.md").write_text(list_entry(ROOT), encoding="utf-8")
    for python, resolution in ((OLDEST, "lowest-direct"), (newest, "highest")):
        for extra in TRIES:
            try_wheel(wheel, project, extra, python, resolution, dist / "sbom.json")
            wheel_and_extra = f"the wheel with {extra!r}" if extra else "the wheel alone"
            print(f"Python {python}, the {resolution} packages: {wheel_and_extra} works")
    write_digests(dist)
    print(f"dist/ is ready: {', '.join(sorted(path.name for path in dist.iterdir()))}")
    print("not done here: nothing was published")
    if newest != NEWEST:
        print(f"not done here: the wheel was not tried on Python {NEWEST}")
    if checks == "skip":
        print("not done here: .ci/run was skipped")


def project_of(root: Path) -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return table["project"]


def release_date(root: Path, version: str) -> str:
    """The date of the version's section in CHANGELOG.md.

    Raises
    ------
    ReleaseError : if pyproject.toml, CITATION.cff and CHANGELOG.md do not all name version and date
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ReleaseError(f"got version {version!r}, expected one such as 0.1.0")
    project = project_of(root)
    if project["version"] != version:
        raise ReleaseError(f"pyproject.toml has version {project['version']}, expected {version}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(
        rf"^## {re.escape(version)}, (20\d\d-[01]\d-[0-3]\d)$", changelog, re.MULTILINE
    )
    if not section:
        raise ReleaseError(f"CHANGELOG.md has no section: ## {version}, YEAR-MONTH-DAY")
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    for key, expected in (("version", version), ("date-released", section[1])):
        if str(citation.get(key)) != expected:
            raise ReleaseError(f"CITATION.cff has {key} {citation.get(key)}, expected {expected}")
    return section[1]


def refuse_changes(root: Path) -> None:
    """Refuse a working tree that is not what git has."""
    if changed := run(["git", "status", "--porcelain"], root).splitlines():
        raise ReleaseError(f"the working tree has changes; commit them first: {changed[0].strip()}")


def refuse_placeholders(root: Path) -> None:
    """Refuse addresses that nobody has given yet."""
    for name in CHECKED_FOR_PLACEHOLDERS:
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if PLACEHOLDER in line:
                raise ReleaseError(
                    f"{name}, line {number}: {PLACEHOLDER} stands for an address; give one"
                )


def refuse_missing_pythons(versions: Sequence[str]) -> None:
    """Refuse to begin where uv has no Python in which to try the wheel."""
    with tempfile.TemporaryDirectory() as name:
        for version in versions:
            try:
                run(["uv", "venv", "--quiet", "--python", version, version], Path(name))
            except CommandError:
                raise ReleaseError(
                    f"uv finds no Python {version}; install it, or name another newest one: "
                    "make release NEWEST=3.13"
                ) from None


def refuse_other_pages(root: Path) -> None:
    """Refuse pages of docs/ whose numbers are not those of the tables beside them."""
    run([sys.executable, "-m", "paper", "pages"], root)
    if changed := run(["git", "status", "--porcelain", "docs"], root).splitlines():
        raise ReleaseError(
            "pages did not have the numbers of their tables, and were written anew: "
            f"{changed[0].strip()}"
        )


def build_twice(root: Path, dist: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution, each built twice to the same bytes; the wheel from the
    checkout and from the source distribution.

    Raises
    ------
    ReleaseError : if two builds differ
    """
    epoch = run(["git", "log", "-1", "--format=%ct"], root).strip()
    hatch = [sys.executable, "-m", "hatchling", "build"]
    with tempfile.TemporaryDirectory() as name:
        again = Path(name)
        for folder in (dist, again):
            run([*hatch, "-d", folder], root, SOURCE_DATE_EPOCH=epoch)
        refuse_other_builds(dist, again)
        (archive,) = dist.glob("*.tar.gz")
        shutil.unpack_archive(archive, again / "sources", filter="data")
        (sources,) = (again / "sources").iterdir()
        from_archive = again / "wheel"
        run([*hatch, "-t", "wheel", "-d", from_archive], sources, SOURCE_DATE_EPOCH=epoch)
        refuse_other_builds(from_archive, dist)
    (wheel,) = dist.glob("*.whl")
    return wheel, archive


def refuse_other_builds(first: Path, second: Path) -> None:
    """Refuse a file of one folder that the other has with other bytes."""
    for path in sorted(first.iterdir()):
        if path.is_file() and path.read_bytes() != (second / path.name).read_bytes():
            raise ReleaseError(f"{path.name}: two builds of it differ")


def refuse_missing_licences(root: Path, wheel: Path) -> None:
    """Refuse a wheel without a licence that the project names, or without one that it bundles."""
    project = project_of(root)
    bundled = run(["git", "ls-files", "*LICENSE*"], root).splitlines()
    if missing := sorted({*bundled} - {*project["license-files"]}):
        raise ReleaseError(f"{missing[0]}: license-files in pyproject.toml does not name it")
    names = zipfile.ZipFile(wheel).namelist()
    for licence in project["license-files"]:
        if not any(name.endswith(f".dist-info/licenses/{licence}") for name in names):
            raise ReleaseError(f"{wheel.name} lacks {licence}")


def write_digests(dist: Path) -> None:
    """Write SHA256SUMS, which `sha256sum --check` reads."""
    files = sorted(path for path in dist.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (dist / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def conda_recipe(root: Path, version: str, archive: Path) -> str:
    """A recipe for conda-forge, in rattler-build's format (v1), of the source distribution."""
    project = project_of(root)
    needs = [Requirement(text) for text in project["dependencies"]]
    python = project["requires-python"].removeprefix(">=")
    recipe = {
        "schema_version": 1,
        "context": {"version": version, "python_min": python},
        "package": {"name": project["name"], "version": "${{ version }}"},
        "source": {
            "url": "https://pypi.org/packages/source/s/spikesam/spikesam-${{ version }}.tar.gz",
            "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        },
        "build": {
            "noarch": "python",
            "script": "${{ PYTHON }} -m pip install . --no-deps --no-build-isolation -vv",
            "python": {"entry_points": [f"{n} = {e}" for n, e in project["scripts"].items()]},
        },
        "requirements": {
            "host": ["python ${{ python_min }}.*", "pip", "hatchling >=1.27"],
            "run": [
                "python >=${{ python_min }}",
                *(f"{CONDA_NAMES.get(need.name, need.name)} {need.specifier}" for need in needs),
            ],
        },
        "tests": [{"python": {"imports": ["spikesam"], "python_version": "${{ python_min }}.*"}}],
        "about": {
            "summary": project["description"],
            "license": project["license"],
            "license_file": project["license-files"],
            "homepage": project["urls"]["Source"],
        },
        "extra": {"recipe-maintainers": []},
    }
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)


def refuse_faulty_recipe(recipe: Path) -> None:
    """Refuse a recipe that rattler-build cannot read: fields, requirements, licence, digest."""
    environment = ["uv", "run", "--quiet", "--no-project", "--with", "py-rattler-build"]
    try:
        run([*environment, "python", "-I", "-c", CHECK_RECIPE, recipe], recipe.parent)
    except CommandError as error:
        raise ReleaseError(f"{recipe.name}: {error.said}") from None


def list_entry(root: Path) -> str:
    """An entry for Open Neuromorphic's list of software."""
    project = project_of(root)
    return f"""---
title: {project["name"]}
description: {project["description"]}
license: {project["license"]}
source: {project["urls"]["Source"]}
docs: {project["urls"]["Documentation"]}
---

{project["name"]} records every spike of a network of snnTorch, SpikingJelly, Norse, sinabs or
lava-dl, and computes spike activation maps, which show where each layer looks. It says on which
spikes an answer rests, runs the network in integers on torch, on a CPU and in Lava with the same
bits, and finds the first spike that differs between two runs.
"""


if __name__ == "__main__":
    main()
