"""Pages whose numbers are filled in from tables."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper.__main__ import main
from paper.common.result import VALUES
from paper.pages.fill import number, pages, percent, signed
from paper.pages.folder import Folder, Rows
from spikesam import InputError

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEMPLATES = sorted((DOCS / "_filled").glob("*.md"))
# Numbers that nobody measured here: γ, λ, ε, learning rates and shares of thresholds, and the
# levels of tests.
SETTINGS = {"0.1", "0.2", "0.5", "0.7", "0.8", "0.9", "0.008", "0.032", "95 %", "5 %"}


def test_pages_say_what_the_tables_say() -> None:
    stale = [path for path, text in pages(DOCS).items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run python -m paper pages"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_no_measured_number_is_typed(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    for inert in (
        r"\{\{.*?\}\}",
        r"\{%.*?%\}",
        r"\{#.*?#\}",
        r"```.*?```",
        r"`[^`]*`",
        r"\]\([^)]*\)",
        r"arXiv:[\d.]+",
        r"§ [\d.]+",
    ):
        text = re.sub(inert, " ", text, flags=re.DOTALL)
    typed = set(re.findall(r"(?<![\d.])(?:\d+\.\d+(?: %)?|\d+ %)", text)) - SETTINGS
    assert not typed, "fill these in from a table"


@pytest.mark.parametrize(("ending", "most"), [(".csv", 3 << 20), (VALUES, 4 << 20)])
def test_tables_and_values_are_small(ending: str, most: int) -> None:
    assert 0 < sum(path.stat().st_size for path in (DOCS / "results").rglob(f"*{ending}")) < most


def rows() -> Rows:
    found = [("conv1", "0.0", 3.0), ("conv2", "0.0", 5.0), ("conv1", "1", 4.0)]
    return Rows(
        "fig3.csv", [dict(zip(("layer", "gamma", "mean"), each, strict=True)) for each in found]
    )


def test_rows_are_named_by_their_columns() -> None:
    assert rows()(layer="conv1", gamma=0).mean == 3
    assert [row["mean"] for row in rows()(layer=("conv1", "conv3"))] == [3, 4]


def test_a_number_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"^fig3.csv layer = conv3: no such row$"):
        rows()(layer="conv3")
    with pytest.raises(
        InputError, match=r"^fig3.csv: no column 'map', expected one of layer, gamma, mean$"
    ):
        rows()(map="SAM")
    with pytest.raises(InputError, match=r"^fig3.csv layer = conv1: 2 rows, expected one$"):
        rows()(layer="conv1").mean  # noqa: B018


@pytest.mark.parametrize(
    ("same", "expected"),
    [
        (["yes", "yes"], "**holds**: 2 yes"),
        (["yes"], "**holds**"),
        (["no", "no difference seen"], "**does not hold**: 1 opposite, 1 no difference"),
        (["no difference seen", "cannot say"], "**no difference**: 1 no difference, 1 cannot say"),
        (["yes", "yes", "cannot say"], "**holds**: 2 yes, 1 cannot say"),
        (["cannot say"], "**cannot say**"),
        (["yes", "no", "no difference seen"], "**depends**: 1 yes, 1 opposite, 1 no difference"),
    ],
)
def test_verdicts_count_claims(tmp_path: Path, same: list[str], expected: str) -> None:
    claims = pd.DataFrame(
        {"what": [f"conv{place}: error" for place in range(len(same))], "same": same}
    )
    claims = pd.concat([claims, pd.DataFrame({"what": ["conv1: rate"], "same": ["no"]})])
    claims.to_csv(tmp_path / "fig6.claims.csv", index=False)
    folder = Folder(tmp_path)
    assert folder.verdict("fig6", "error$") == expected
    assert folder.verdict("fig8") == "not run"
    with pytest.raises(InputError, match="'speed'.*: no such row"):
        folder.verdict("fig6", "speed")


def small_docs(path: Path, template: str) -> Path:
    """A folder of documentation with one template and one table."""
    (path / "docs" / "_filled").mkdir(parents=True)
    (path / "docs" / "results" / "digits").mkdir(parents=True)
    (path / "docs" / "_filled" / "page.md").write_text(template, encoding="utf-8")
    (path / "docs" / "results" / "digits" / "config.toml").write_text("[paper]\nimages = 9\n")
    (path / "docs" / "results" / "digits" / "fig3.csv").write_text("layer,mean\nconv1,-0.034\n")
    return path / "docs"


def test_the_command_fills_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    template = (
        '{{ digits.config.paper.images }} images: {{ digits("fig3", layer="conv1").mean | '
        "number(2) }}\n"
    )
    docs = small_docs(tmp_path, '{% set digits = results["digits"] %}\n' + template)
    monkeypatch.chdir(tmp_path)
    main(["pages"])
    assert (docs / "page.md").read_text(encoding="utf-8") == "9 images: −0.03\n"
    assert "docs/page.md\n" in capsys.readouterr().out
    assert (docs / "results" / "digits" / "results.md").is_file()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            '{{ results["digits"]("fig3", layer="conv9").mean }}',
            "_filled/page.md: digits/fig3.csv layer = conv9: no such row",
        ),
        ('{{ results["digits"]("fig4").mean }}', "fig4.csv: cannot be read as a table"),
        (
            "{{ results.letters.config }}",
            "_filled/page.md: 'dict object' has no attribute 'letters'",
        ),
        ("{% if %}", "_filled/page.md: Expected an expression"),
    ],
)
def test_a_template_that_asks_for_what_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any, template: str, message: str
) -> None:
    small_docs(tmp_path, template)
    monkeypatch.chdir(tmp_path)
    assert message in refused(main, "pages")


def test_without_results_there_are_no_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "docs/results: no folder there holds results; run from the root" in refused(
        main, "pages"
    )


def test_numbers_are_written_with_a_real_minus() -> None:
    assert (number(-0.1251), number(0.034, 3), number(-0.001)) == ("−0.13", "0.034", "0.00")
    assert (signed(0.1), signed(-0.1), signed(0.001)) == ("+0.10", "−0.10", "0")
    assert (percent(0.957), percent(-0.0115, 1)) == ("96 %", "−1.1 %")


@given(st.floats(-100, 100), st.integers(1, 4))
def test_a_number_is_rounded_and_nothing_else(value: float, decimals: int) -> None:
    for text in (number(value, decimals), signed(value, decimals)):
        assert abs(float(text.replace("−", "-")) - value) <= 0.5 * 10**-decimals + 1e-9


def test_figures_are_drawn_again_from_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {"doses.csv", "fig6.csv", "fig9.csv", "config.toml"}
    for path in (DOCS / "results").glob("*/*"):
        if path.name in tables:
            (copy := tmp_path / path.relative_to(DOCS.parent)).parent.mkdir(
                parents=True, exist_ok=True
            )
            copy.write_bytes(path.read_bytes())
    (tmp_path / "configs").symlink_to(DOCS.parent / "configs")
    monkeypatch.chdir(tmp_path)
    main(["figures"])
    drawn = capsys.readouterr().out.splitlines()
    assert {"digits: doses", "tiny-imagenet-10-vgg11: fig9", "fig6 of all"} <= set(drawn)
    for figure in ("digits/doses", "digits/doses_burst", "tiny-imagenet-10/fig9", "fig6"):
        assert (tmp_path / "docs" / "results" / f"{figure}.png").stat().st_size
