"""Write the page of one run, or of two side by side; data cannot become markup in it, and nothing
is asked for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from spikesam.common.arguments import checked_arguments
from spikesam.common.disk import readable, write_file
from spikesam.common.errors import OTHER_OUT, InputError
from spikesam.common.files import open_file, refuse_replacing
from spikesam.common.warning import warn
from spikesam.pipeline.page._content import kinds_of, run_content
from spikesam.pipeline.page._shown_run import ShownRun, open_run
from spikesam.recordings.files import RASTER

if TYPE_CHECKING:
    from spikesam.backends.network import Network
    from spikesam.pipeline.networks.checkpoint import Checkpoint

HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+)\.js";\n', re.MULTILINE)
INLINE = 2_000_000  # bytes of a page that a notebook holds
LIMIT = 8_000_000  # bytes of the samples of all runs
MOST_RUNS = 2
GENERATOR, HEAD = (
    b'<meta name="generator" content="spikesam">',
    2000,
)  # bytes from the beginning of a page


class Page(type(Path())):  # type: ignore[misc]  # until Python 3.12, Path itself cannot be inherited from
    """The path of a page; a notebook shows it inline, in a frame that reaches nothing outside of
    itself.
    """

    def _repr_html_(self) -> str:
        link = f'<a href="{escape(quote(str(self)))}" target="_blank">{escape(str(self))}</a>'
        if self.stat().st_size > INLINE:
            return f"<p>{link} ({readable(self.stat().st_size)}: open it in a browser)</p>"
        page = escape(self.read_text(encoding="utf-8"))
        frame = (
            f'sandbox="allow-scripts" style="width: 100%; height: 700px; border: 0" srcdoc="{page}"'
        )
        return f"<iframe {frame}></iframe><p>{link}</p>"


@checked_arguments
def report(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
    out: str | PathLike[str] | None = None,
    *,
    network: Network | Checkpoint | str | PathLike[str] | None = None,
    limit: int = LIMIT,
    overwrite: bool = False,
) -> Path:
    """One HTML file that shows a run, or two side by side, computes their maps itself, and asks no
    server for anything.

    Parameters
    ----------
    runs : the folder of a run or a raster file; or two of them
    out : the file; if not given, `report.html` in the folder of the first run, or `x.html` beside
        `x.h5`, in place of an earlier page there; of two runs, `report-beside-b.html` in the folder
        of the first, if the second is `b`
    network : import of the model that was recorded; needed where the runs do not say which network
        fired them
    limit : bytes that the samples may take; of long runs the page holds the first samples, and says
        so
    overwrite : replace an existing file

    Returns
    -------
    the file's path, which a notebook shows as the page itself, up to 2 MB

    Raises
    ------
    InputError : if there is no raster, it is damaged, or the file exists or cannot be written

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> path = spikesam.write_raster("c.h5", {"conv1": np.ones((1, 2, 1, 2, 2), bool)},
    ... overwrite=True)
    >>> spikesam.report(path).name
    'c.html'
    """
    paths = [Path(runs)] if isinstance(runs, (str, PathLike)) else [Path(run) for run in runs]
    target = Path(out) if out is not None else _beside(*paths[:2]) if paths else Path()
    if not 1 <= len(paths) <= MOST_RUNS:
        raise InputError(f"runs: got {len(paths)}, expected one or two")
    if limit < 1:
        raise InputError(f"limit: got {limit}, expected a number of bytes ≥ 1")
    overwrite = overwrite or (out is None and _is_page(target))
    if (target / RASTER).is_file():
        raise InputError(
            f"{target}: is the folder of a run, expected the file of the page",
            "; of two runs: {report([a, b])}",
        )
    refuse_replacing(
        target, overwrite, *(path / RASTER if path.is_dir() else path for path in paths)
    )
    with ExitStack() as resources:
        opened = [open_run(path, resources, network) for path in paths]
        for run in opened:
            if run.raster.silence:
                warn(f"report: {run.name}: {run.raster.silence}")
        return write_page(opened, target, limit, overwrite)


def _beside(run: Path, second: Path | None = None) -> Path:
    second_name = "" if second is None else f"-beside-{second.resolve().stem}"
    return (
        run / f"report{second_name}.html"
        if run.is_dir()
        else run.with_name(f"{run.stem}{second_name}.html")
    )


def _is_page(path: Path) -> bool:
    """True of a file written by :func:`write_page`: it can be made again, so it may be replaced."""
    if not path.is_file():
        return False
    with open_file(path) as file:
        return GENERATOR in file.read(HEAD)


def write_page(
    runs: Sequence[ShownRun], target: Path, limit: int = LIMIT, overwrite: bool = True
) -> Path:
    """Write the page of runs that are open; see :func:`report`."""
    contents = [run_content(run, limit // len(runs)) for run in runs]
    try:
        titles = [run.title for run in runs] if len(runs) == 1 else [run.name for run in runs]
        page = page_html(" beside ".join(titles), {"kinds": kinds_of(runs), "runs": contents})
        write_file(target, page.encode(), overwrite=overwrite)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})", OTHER_OUT) from None
    return Page(target)


def page_html(title: str, data: dict[str, Any]) -> str:
    """The page of the data that its script reads, see :mod:`spikesam.pipeline.page._content`."""
    script, style = script_of("main"), (HERE / "page.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html").render(
        title=title,
        data=json_in_page(data),
        script=Markup(script),
        style=Markup(style),
        policy=f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; worker-src blob:; "
        "base-uri 'none'; form-action 'none'",
    )


def json_in_page(data: Any) -> Markup:
    """JSON that a `<script>` can hold: no character in it can begin a tag,
    a comment or an entity.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def script_of(module: str) -> str:
    """One script of a module and of what it imports: a page that stands alone cannot load
    modules.
    """
    joined = "".join(_IMPORT.sub("", _source(name)) for name in _in_order(module, []))
    return re.sub(r"^export ", "", joined, flags=re.MULTILINE)


def _in_order(module: str, modules: list[str]) -> list[str]:
    """The modules that one needs, each behind those it imports, and itself last."""
    if module not in modules:
        for needed in _IMPORT.findall(_source(module)):
            _in_order(needed, modules)
        modules.append(module)
    return modules


def _source(module: str) -> str:
    return (HERE / "js" / f"{module}.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
