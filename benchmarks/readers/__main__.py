"""The suite through one library: `python -m benchmarks.readers LIBRARY FILE`.

Runs in a process of its own, in which packages may be of other versions. Writes versions and, for
each case, the verdict as JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.readers import libraries, runner
from spikesam.conformance import Result, cases, check


def as_json(result: Result) -> dict[str, Any]:
    """A result in values of JSON; addresses of objects in messages are left out."""
    return {
        "case": str(result.case),
        "verdict": result.verdict,
        "bits": result.bits,
        "first": str(result.first or ""),
        "readings": list(result.readings),
        "nir_decides": result.nir_decides,
        "equation": result.case.equation,
        "message": re.sub(r"0x[0-9a-f]+", "…", result.message),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the suite and write what came of it."""
    parser = argparse.ArgumentParser("python -m benchmarks.readers", description=__doc__)
    parser.add_argument("library", choices=libraries())
    parser.add_argument("file", type=Path)
    parser.add_argument("--first", type=int, help="so many of the cases")
    options = parser.parse_args(arguments)
    library = runner(options.library)
    version = metadata.version(library.DISTRIBUTION)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        report = check(library.run, cases()[: options.first])
    about = {
        "name": library.NAME,
        "versions": {library.DISTRIBUTION: version, "nir": metadata.version("nir")},
        "results": [as_json(result) for result in report.results],
    }
    options.file.write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
