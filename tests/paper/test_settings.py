"""The configuration files of the experiments: every committed one is valid,
and says its command.
"""

from pathlib import Path

import pytest

from paper.common.settings import load_paper_config
from spikesam.settings import CONFIGS
from spikesam.training import plan_layers

OF_ONE_EXPERIMENT = ("timing", "saccade_digits")


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "paper").glob("*.toml")), ids=lambda path: path.stem
)
def test_committed_configurations(path: Path) -> None:
    config = load_paper_config(path)
    assert plan_layers(config.network.layers)
    text = path.read_text(encoding="utf-8")
    header = text.partition("[")[0]
    assert "python -m paper " in header  # the command
    assert "expected" in header  # time and accuracy
    if path.stem not in OF_ONE_EXPERIMENT:
        assert len(config.paper.layers) == 3
        assert "python -m paper all" in text and f"--config configs/paper/{path.name}" in text
