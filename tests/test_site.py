"""What the build of the site does not check: the README's links, that no public name is missing,
its own extensions.
"""

import re
import sys
from pathlib import Path

import pytest

import spikesam

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs" / "_extensions"))

docstrings = pytest.importorskip("docstrings", reason="needs sphinx")
shown_outputs = pytest.importorskip("shown_outputs", reason="needs sphinx")
repository_links = pytest.importorskip("repository_links", reason="needs sphinx")

LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)|href=\"([^\":#]+)\"")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("recordings/*.md"),
    *ROOT.glob("checkpoints/*.md"),
    *(page for page in ROOT.glob("docs/**/*.md") if not {"_build", "_filled"} & set(page.parts)),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_has_one(page: Path) -> None:
    targets = [one or other for one, other in LINK.findall(page.read_text(encoding="utf-8"))]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_public_name_is_described_once() -> None:
    pages = "".join(
        page.read_text(encoding="utf-8") for page in (ROOT / "docs/reference/api").glob("*.rst")
    )
    described = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)$", pages, re.MULTILINE)
    assert sorted(described) == sorted(
        [*spikesam.__all__, "SAM", "assert_same_spikes"]
    )  # of spikesam.captum and .testing


def test_descriptions_stand_below_names_and_equations_as_they_were_typed() -> None:
    written = """One line.

    v = leak · v

Parameters
----------
gamma, leak : in [0, 1], such as
    0.5 : a colon here is text

Returns
-------
an array: (T, B)

Raises
------
InputError : if it does not fit"""
    assert docstrings.rewrite(written.splitlines()) == [
        *["One line.", "", "::", "", "    v = leak · v", ""],
        *[
            "Parameters",
            "----------",
            "gamma, leak",
            "    in [0, 1], such as",
            "    0.5 : a colon here is text",
            "",
        ],
        *["", "", ":returns:", "    an array: (T, B)", ""],
        *["Raises", "------", "InputError", "    if it does not fit"],
    ]


def test_a_block_that_the_text_announces_is_announced_once() -> None:
    written = ["A command::", "", "    run(1)", "", "    run(2)", "", "More."]
    assert docstrings.rewrite(written) == written


def test_links_of_the_repository_become_links_of_the_site() -> None:
    written = (
        "[format](../recordings/FORMAT.md#digests), [scripts](../examples), "
        "[more](guide.md), ![](../x.png)"
    )
    expected = (
        "[format](/reference/raster-file.md#digests), scripts, [more](guide.md), ![](../x.png)"
    )
    assert repository_links.rewrite(written, ROOT / "docs" / "page.md", ROOT) == expected


def test_a_cell_that_shows_nothing_of_an_object_is_found(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text("<p>a Figure of size 6, an object at 0.5</p>")
    assert shown_outputs.bare_outputs(tmp_path) == []
    (tmp_path / "bad.html").write_text(
        "&lt;Figure size 9x6 with 1 Axes&gt; &lt;a.B object at 0x7f12&gt;"
    )
    found = ["bad.html: &lt;Figure size 9x6 with 1 Axes&gt;", "bad.html: a.B object at 0x7f12"]
    assert shown_outputs.bare_outputs(tmp_path) == found


def test_links_to_files_of_a_cell_become_their_names(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p><a href="runs/a/report.html" target="_blank">runs/a/report.html</a></p>')
    shown_outputs.unlink_own_files(tmp_path)
    assert page.read_text() == "<p>runs/a/report.html</p>"
