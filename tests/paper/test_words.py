"""Words that depend on tables: they change when the tables do, or the page is refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from paper.pages import folder as folders
from paper.pages.fill import RESULTS, environment_of
from paper.pages.folder import Folder, Rows, tally
from paper.pages.words import can_differ, chosen, given, highest, listed, lowest, numeral, outcomes, part, where
from spikesam.recordings.errors import InputError

DOCS = Path(__file__).resolve().parents[2] / "docs"
TIMING = DOCS / "results" / "timing" / "timing.csv"
TURNED = {"yes": "no", "no": "yes"}
Table = list[dict[str, Any]]


def test_counts_are_words() -> None:
    assert [numeral(number) for number in (0, 3, 12, 13)] == ["no", "three", "twelve", "13"]
    assert [part(number, 3) for number in range(4)] == [
        "no layer", "one of three layers", "two of three layers", "every layer",
    ]  # fmt: skip
    assert (part(4, 5), part(4, 6, "case")) == ("all but one of the layers", "four of six cases")
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "none",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_a_wording_follows_the_verdict() -> None:
    wordings = ("better", "worse", "no better")
    assert [chosen(same, *wordings) for same in ("yes", "no", "no difference seen", "cannot say")] == [
        "better", "worse", "no better", "no better",
    ]  # fmt: skip


def test_a_sentence_stands_only_while_the_tables_say_so() -> None:
    assert given(3 > 2, "It holds.") == "It holds."
    with pytest.raises(InputError, match=r"no longer say this, write it anew: It holds\.$"):
        given([], "It holds.")


def test_the_best_is_looked_up() -> None:
    rows = [{"map": "SAM", "mean": 0.3}, {"map": "relevance", "mean": 0.1}]
    assert (lowest(rows), highest(rows)) == ("relevance", "SAM")


def test_outcomes_are_counted_by_their_first_word() -> None:
    rows = [{"outcome": outcome} for outcome in ("better", "better, by less than 0.02", "worse", "")]
    assert (outcomes(rows, "better"), outcomes(rows, "equal"), outcomes(rows)) == (2, 0, 3)


def test_a_verdict_on_several_comparisons() -> None:
    assert tally(["yes", "no difference seen"]) == "**depends**: 1 yes, 1 no difference"
    assert (tally(["no"]), tally(["cannot say"])) == ("**does not hold**", "**cannot say**")


def test_networks_are_named_by_their_verdicts(tmp_path: Path) -> None:
    for name, same in (("a", "yes,yes"), ("b", "yes,no"), ("c", None)):
        (tmp_path / name).mkdir()
        if same is not None:
            lines = [f"conv{layer},{verdict}" for layer, verdict in enumerate(same.split(","))]
            (tmp_path / name / "fig6.claims.csv").write_text("\n".join(["what,same", *lines]))
    columns = [{"name": name, "f": Folder(tmp_path / name)} for name in "abc"]
    assert where(columns, "fig6", "^conv") == ["a"]
    assert where(columns, "fig6", "^conv1", "no") == ["b"]
    assert [column["f"].count("fig6", "^conv") for column in columns] == [2, 1, 0]


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_of(DOCS)


def asked(environment: Environment, page: str, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[Path, str], str]:
    """The claims that a page asks for, by the file and the regular expression: their texts."""
    found: dict[tuple[Path, str], str] = {}
    claims = Folder.claims

    def recorded(self: Folder, name: str, pattern: str = "") -> Rows:
        found[self.path / f"{name}.claims.csv", pattern] = name
        return claims(self, name, pattern)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "claims", recorded)
        environment.get_template(page).render()
    return found


def turned(read: Callable[[Path], Table], path: Path, pattern: str, same: str = "") -> Callable[[Path], Table]:
    """Tables as they are, but for the first claim of one file that holds a regular expression: its sign is turned.

    Or, where `same` is given, that is its verdict.
    """
    first = next(row for row in read(path) if re.search(pattern, row["what"]))

    def reading(asked_for: Path) -> Table:
        rows = read(asked_for)
        return (
            [_turned(row) | ({"same": same} if same else {}) if row is first else row for row in rows]
            if asked_for == path
            else rows
        )

    return reading


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {"mean": -row["mean"], "low": -row["high"], "high": -row["low"]}
    return {**row, **numbers, "same": TURNED.get(row["same"], "yes")}


def rendered(environment: Environment, page: str) -> str:
    try:
        return environment.get_template(page).render()
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("page", ["guide.md", "results.md"])
def test_a_page_changes_with_every_claim_that_it_asks_for(
    environment: Environment, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, read = rendered(environment, page), folders._read
    wanted = asked(environment, page, monkeypatch)
    assert len(wanted) > 10
    for path, pattern in wanted:
        after = []
        for same in ("", "no", "no difference seen"):  # a mark in a table may tell one verdict from the others
            monkeypatch.setattr(folders, "_read", turned(read, path, pattern, same))
            after.append(rendered(environment, page))
            if after[-1] != before:
                break
        assert after[-1] != before, f"{path.parent.name}/{path.name} {pattern!r}"


def test_the_page_on_timing_changes_with_every_outcome_that_it_tells(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, read = rendered(environment, "timing.md"), folders._read
    judged = [row for row in read(TIMING) if row["outcome"]]
    outcomes = [row for row in judged if "spike count" in row["map"] and can_differ(row)]
    assert len(outcomes) == 14
    outcomes += [row for row in judged if row["map"].startswith("relevance") and row["measure"].startswith("deletion")]
    for row in outcomes:
        other = {**row, "outcome": "worse" if row["outcome"] != "worse" else "equal"}
        monkeypatch.setattr(
            folders, "_read", lambda path, row=row, other=other: [other if each == row else each for each in read(path)]
        )
        folders._measured.cache_clear()
        assert rendered(environment, "timing.md") != before, row
    folders._measured.cache_clear()


SENTENCES = [  # page, data set, experiment, claims, and what is no longer said once the sign of the first is turned
    ("results.md", "digits", "table1", "^conv4: error at", "the error *rises* with λ in the two deeper layers"),
    (
        "results.md",
        "digits",
        "fig9",
        "^share of the range",
        "its answers longer than the ANN on digits and photo",
    ),
    (
        "results.md",
        "tiny-imagenet-10-vgg11",
        "fig9",
        "heatmap shift, summed over steps at iterated",
        "over steps on photographs and VGG11",
    ),
    ("results.md", "digits", "fig5", "spikes and maps on", "every backend gives the same spikes and maps"),
    ("results.md", "digits", "fig2", "^total variation", "Grad-CAM is rougher in all but one of the layers"),
    ("results.md", "tiny-imagenet-10-vgg11", "fig5", "activity late$", "silent late in every layer"),
    ("results.md", "tiny-imagenet-10", "recipes", "^accuracy", "which may be chance: p = 0.054"),
    ("results.md", "tiny-imagenet-10", "fig8", "equations: error at γ = 0$", "three of six cases on photographs"),
    ("results.md", "digits", "events", "the kernel adds to counting", "the kernel adds something in every layer"),
    (
        "results.md",
        "digits",
        "spike_deletion",
        "^in conv4, by spikes: relevance.* SAM",
        "SAM** by spikes in every layer",
    ),
    ("guide.md", "tiny-imagenet-10", "localisation", "^surrogate, as is: .*centred Gaussian", "**no better**: −0.04"),
    (
        "guide.md",
        "tiny-imagenet-10-vgg11",
        "fig10",
        "^conv8: .*predicted object, late$",
        "67 %, beyond chance",
    ),
]


@pytest.mark.parametrize(("page", "data", "experiment", "pattern", "sentence"), SENTENCES)
def test_a_sentence_goes_with_its_claims(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    data: str,
    experiment: str,
    pattern: str,
    sentence: str,
) -> None:
    path = DOCS / RESULTS / data / f"{experiment}.claims.csv"
    assert sentence in rendered(environment, page)
    monkeypatch.setattr(folders, "_read", turned(folders._read, path, pattern))
    after = rendered(environment, page)
    assert sentence not in after or "no longer say" in after
