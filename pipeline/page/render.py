"""Data, template, styles and scripts become one HTML file; data cannot become markup, and nothing is asked for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+)\.js";\n', re.MULTILINE)


def render(title: str, data: dict[str, Any]) -> str:
    """The page of the data that its script reads, see :mod:`spikesam.pipeline.page.content`."""
    script, style = script_of("main"), (HERE / "page.css").read_text(encoding="utf-8")
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html").render(
        title=title,
        data=as_json(data),
        script=Markup(script),
        style=Markup(style),
        policy=f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; "
        "base-uri 'none'; form-action 'none'",
    )


def as_json(data: Any) -> Markup:
    """JSON that a `<script>` can hold: no character in it can begin a tag, a comment or an entity."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def script_of(module: str) -> str:
    """One script of a module and of what it imports: a page that stands alone cannot load modules."""
    return "".join(_without_imports(name) for name in _in_order(module, []))


def _in_order(module: str, found: list[str]) -> list[str]:
    """The modules that one needs, each behind those it imports, and itself last."""
    if module not in found:
        for needed in _IMPORT.findall(_source(module)):
            _in_order(needed, found)
        found.append(module)
    return found


def _without_imports(module: str) -> str:
    return re.sub(r"^export ", "", _IMPORT.sub("", _source(module)), flags=re.MULTILINE)


def _source(module: str) -> str:
    return (HERE / "js" / f"{module}.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
