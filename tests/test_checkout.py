"""The repository can be checked out on every system, and says so where links are lost."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Names that Windows cannot have: its marks, a last dot or space, its devices.
FORBIDDEN = re.compile(
    r'[<>:"|?*\\\x00-\x1f]|[. ](/|$)|(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.[^/]*)?(/|$)',
    re.IGNORECASE,
)


def git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no repository of git")
    return [name for name in done.stdout.split("\0") if name]


def test_names_differ_by_more_than_case() -> None:
    folded = Counter(name.casefold() for name in git("ls-files", "-z"))
    assert [name for name, count in folded.items() if count > 1] == []


@pytest.mark.parametrize("name", ["a:b", "a/b.", "aux.py", "x/NUL", "com1", "a\\b", "what?"])
def test_names_that_windows_cannot_have_are_seen(name: str) -> None:
    assert FORBIDDEN.search(name)


def test_names_can_be_had_on_windows() -> None:
    names = git("ls-files", "-z")
    assert [name for name in names if FORBIDDEN.search(name) or len(name) > 150] == []


def test_text_has_the_line_ends_of_unix_everywhere() -> None:
    lines = git("ls-files", "--eol", "-z")
    assert [line for line in lines if line.startswith(("i/crlf", "i/mixed"))] == []
    assert [line for line in lines if line.startswith("i/lf") and "eol=lf" not in line] == []


def test_text_files_in_place_of_links_are_named_in_one_line(tmp_path: Path) -> None:
    """So git writes links where the system, or its settings, have none."""
    package = tmp_path / "spikesam"
    shutil.copytree(ROOT / "spikesam" / "common", package / "common")
    for path in (ROOT / "spikesam").iterdir():
        if path.is_symlink():
            (package / path.name).write_text(f"../{path.name}")
        elif path.suffix in (".py", ".pyi"):
            shutil.copy(path, package)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import spikesam"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1].startswith(
        f"ImportError: {package / 'pipeline'}: expected a symbolic link, got a file; "
        "git config core.symlinks true"
    )


def test_the_wheel_is_tried_on_three_systems_by_pinned_actions() -> None:
    text = (ROOT / ".github/workflows/systems.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    systems = jobs["wheel"]["strategy"]["matrix"]["system"]
    assert {system.partition("-")[0] for system in systems} == {"ubuntu", "macos", "windows"}
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in used)
