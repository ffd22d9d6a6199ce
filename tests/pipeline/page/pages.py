"""Data of a page, as its script reads them."""

import json
import re
from pathlib import Path
from typing import Any


def data_of(page: Path) -> dict[str, Any]:
    """What a page holds for its script."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL
    )
    assert found
    return json.loads(found[1])


def runs_of(page: Path) -> list[dict[str, Any]]:
    return data_of(page)["runs"]
