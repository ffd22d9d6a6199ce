"""Run the suite: `python -m spikesam.conformance MODULE:FUNCTION`, or write its files."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from spikesam.conformance._files import write_cases
from spikesam.conformance._report import cases, check


def main(arguments: list[str] | None = None) -> int:
    """Print the report of a program; 0 if nothing differs, 1 if something does, 2 if it is not
    there.
    """
    parser = argparse.ArgumentParser("python -m spikesam.conformance", description=__doc__)
    parser.add_argument("run", nargs="?", metavar="MODULE:FUNCTION", help="run(graph, input)")
    parser.add_argument("--node", action="append", default=[], help="cases of this kind alone")
    parser.add_argument("--write", metavar="FOLDER", help="write the cases as NIR and NPZ")
    options = parser.parse_args(arguments)
    if not options.run and not options.write:
        parser.error("got neither MODULE:FUNCTION nor --write, expected one of them")
    try:
        chosen = cases(*options.node)
        if options.write:
            print(f"{options.write}: {len(write_cases(options.write, chosen))} graphs")
        if not options.run:
            return 0
        module, _, function = options.run.partition(":")
        sys.path.insert(0, "")
        run = getattr(import_module(module), function or "run")
    except (ValueError, OSError, ImportError, AttributeError) as error:
        parser.error(str(error))
    report = check(run, chosen)
    print(report)
    return int(report.count("differs") > 0)


if __name__ == "__main__":
    sys.exit(main())
