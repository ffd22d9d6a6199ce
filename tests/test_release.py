"""A release is refused in one line where something does not fit."""

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from scripts import release, release_environments
from scripts.commands import ReleaseError, run

PROJECT = """[project]
name = "spikesam"
version = "1.2.3"
description = "maps"
license = "BSD-3-Clause"
license-files = ["LICENSE"]
requires-python = ">=3.11"
dependencies = ["isal>=1.7", "numba>=0.62,<0.69"]
[project.urls]
Source = "https://placeholder.invalid/spikesam"
[project.scripts]
spikesam = "spikesam.cli:main"
"""
FILES = {
    "pyproject.toml": PROJECT,
    "CITATION.cff": "version: 1.2.3\ndate-released: 2027-01-31\n",
    "CHANGELOG.md": "# Changelog\n\n## 1.2.3, 2027-01-31\n",
    "CODE_OF_CONDUCT.md": "Be kind.\n",
    "SECURITY.md": "Write to us.\n",
    "README.md": "# spikesam\n",
    "LICENSE": "BSD\n",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository whose files agree on version 1.2.3."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "All"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_versions_that_agree_have_the_date_of_the_changelog(clone: Path) -> None:
    assert release.release_date(clone, "1.2.3") == "2027-01-31"


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("pyproject.toml", "1.2.3", "1.2.4", "pyproject.toml has version 1.2.4, expected 1.2.3"),
        ("CITATION.cff", "1.2.3", "1.2.4", "CITATION.cff has version 1.2.4, expected 1.2.3"),
        ("CITATION.cff", "2027-01-31", "2027-01-30", "CITATION.cff has date-released 2027-01-30"),
        ("CITATION.cff", "date-released", "date", "CITATION.cff has date-released None"),
        ("CHANGELOG.md", "1.2.3", "Unreleased", "CHANGELOG.md has no section: ## 1.2.3, YEAR"),
    ],
)
def test_what_does_not_agree_is_named(
    clone: Path, name: str, old: str, new: str, expected: str
) -> None:
    (clone / name).write_text((clone / name).read_text().replace(old, new))
    with pytest.raises(ReleaseError, match=expected):
        release.release_date(clone, "1.2.3")


@pytest.mark.parametrize("version", ["", "v1.2.3", "1.2", "1.2.3rc1"])
def test_other_versions_are_refused(clone: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match=r"expected one such as 0\.1\.0"):
        release.release_date(clone, version)


def test_a_changed_working_tree_is_refused(clone: Path) -> None:
    release.refuse_changes(clone)
    (clone / "new.py").touch()
    with pytest.raises(ReleaseError, match=r"has changes; commit them first: \?\? new\.py"):
        release.refuse_changes(clone)


def test_a_placeholder_is_refused_with_its_line(clone: Path) -> None:
    with pytest.raises(ReleaseError, match=r"^pyproject\.toml, line 10: placeholder\.invalid"):
        release.refuse_placeholders(clone)
    (clone / "pyproject.toml").write_text(PROJECT.replace(".invalid", ".org"))
    release.refuse_placeholders(clone)


def test_builds_that_differ_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.whl").write_text("bytes")
    release.refuse_other_builds(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "x.whl").write_text("others")
    with pytest.raises(ReleaseError, match=r"^x\.whl: two builds of it differ$"):
        release.refuse_other_builds(tmp_path / "a", tmp_path / "b")


def test_licences_must_be_named_and_in_the_wheel(clone: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "spikesam.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("spikesam-1.2.3.dist-info/METADATA", "")
    with pytest.raises(ReleaseError, match="lacks LICENSE"):
        release.refuse_missing_licences(clone, wheel)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("spikesam-1.2.3.dist-info/licenses/LICENSE", "")
    release.refuse_missing_licences(clone, wheel)
    shutil.copy(clone / "LICENSE", clone / "data.LICENSE")
    subprocess.run(["git", "add", "."], cwd=clone, check=True)
    with pytest.raises(ReleaseError, match=r"^data\.LICENSE: license-files in pyproject\.toml"):
        release.refuse_missing_licences(clone, wheel)


def test_a_command_that_fails_or_is_not_here_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="^sh -c echo no; exit 3 ended with 3: no$"):
        run(["sh", "-c", "echo no; exit 3"], tmp_path)
    with pytest.raises(ReleaseError, match="^no-such-program: this program is needed"):
        run(["no-such-program"], tmp_path)


def test_the_bill_of_materials_names_no_file_of_this_machine(tmp_path: Path) -> None:
    wheel, site = {"url": "file:///home/me/x.whl"}, {"url": "https://numpy.org"}
    components = [{"name": "x", "externalReferences": [wheel, site]}, {"name": "y"}]
    (tmp_path / "sbom.json").write_text(json.dumps({"components": components}))
    release_environments.forget_local_files(tmp_path / "sbom.json")
    left = json.loads((tmp_path / "sbom.json").read_text())["components"]
    assert [component["externalReferences"] for component in left] == [[site], []]


def test_digests_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"abc")
    release.write_digests(tmp_path)
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180, of abc
    assert (tmp_path / "SHA256SUMS").read_text() == f"{digest}  a.whl\n"


def test_the_recipe_has_version_digest_and_requirements(clone: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(b"abc")
    recipe = yaml.safe_load(release.conda_recipe(clone, "1.2.3", archive))
    assert recipe["context"] == {"version": "1.2.3", "python_min": "3.11"}
    assert recipe["source"]["sha256"].startswith("ba7816bf")
    assert recipe["requirements"]["run"] == [
        "python >=${{ python_min }}",
        "python-isal >=1.7",
        "numba <0.69,>=0.62",
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", ""),
        ("noarch: python", "noarchh: python", "unknown field 'noarchh'"),
        ("isal >=1.7", "isal >=>1.7", "unable to parse version spec: >=>1.7"),
        ("BSD-3-Clause", "BSD3", "BSD3"),
        ("${{ version }}", "${{ release }}", "release"),
    ],
)
def test_a_recipe_is_read_by_rattler_build(
    clone: Path, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    if not shutil.which("uv"):
        pytest.skip("needs uv, which brings rattler-build")
    (tmp_path / "a.tar.gz").write_bytes(b"abc")
    recipe = tmp_path / "recipe.yaml"
    text = release.conda_recipe(clone, "1.2.3", tmp_path / "a.tar.gz")
    recipe.write_text(text.replace(old, new))
    if not expected:
        release.refuse_faulty_recipe(recipe)
        return
    with pytest.raises(ReleaseError, match=f"^recipe.yaml: .*{re.escape(expected)}"):
        release.refuse_faulty_recipe(recipe)


def test_each_extra_is_tried() -> None:
    project = release.project_of(release.ROOT)
    release_environments.refuse_untried_extras(project)
    project["optional-dependencies"]["new"] = ["numpy"]
    with pytest.raises(ReleaseError, match="^extra 'new': .* does not try it$"):
        release_environments.refuse_untried_extras(project)


def test_an_extra_brings_what_those_it_names_need() -> None:
    project = {
        "name": "spikesam",
        "dependencies": ["numpy>=1.26"],
        "optional-dependencies": {
            "tables": ["pandas>=2.2"],
            "torch": ["spikesam[tables]", "torch>=2.6"],
            "train": ["spikesam[torch]", "lightning>=2.4"],
        },
    }
    assert release_environments.requirements_of(project, "") == ["numpy>=1.26"]
    assert sorted(release_environments.requirements_of(project, "train")) == [
        *("lightning>=2.4", "numpy>=1.26", "pandas>=2.2", "torch>=2.6"),
    ]


def test_a_python_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("uv"):
        pytest.skip("needs uv")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(ReleaseError, match=r"^uv finds no Python 3\.99; .* NEWEST=3\.13$"):
        release.refuse_missing_pythons(("3.99",))


def test_the_command_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        release.main(["0.0.0"])
    assert str(ended.value.code).startswith("error: pyproject.toml has version ")
    assert capsys.readouterr().out == ""
