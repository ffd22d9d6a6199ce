"""The cases as files, for programs that are not Python."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import nir
import numpy as np

from spikesam.conformance._case import Case
from spikesam.conformance._report import cases


def write_cases(
    folder: str | PathLike[str], cases_to_write: Iterable[Case] | None = None
) -> list[Path]:
    """Write cases as files, for programs that are not Python.

    Each is a graph, `NAME.nir`, and its arrays, `NAME.npz`: `input` (T, …), `output` (T, …),
    `spikes/NODE` and `membranes/NODE` (T, …) of each node. `cases.json` lists them with their dt in
    seconds and the equation that decides.

    Parameters
    ----------
    folder : made if it is not there; files in it are replaced
    cases_to_write : some of :func:`cases`; all if not given

    Returns
    -------
    the graphs' files. `nir.read` of nir 1.0.8 refuses those with groups
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    paths, listed = [], []
    for number, case in enumerate(cases() if cases_to_write is None else cases_to_write, 1):
        words = re.sub(r"[^A-Za-z0-9]+", "-", str(case)).strip("-").lower()
        path = place / f"{number:03}-{words}.nir"
        nir.write(path, case.graph())
        expected = case.expected
        arrays: dict[str, Any] = {
            f"spikes/{name}": value > 0 for name, value in expected.spikes.items()
        }
        arrays |= {f"membranes/{name}": value for name, value in expected.membranes.items()}
        arrays |= {"input": case.input > 0, "output": expected.output}
        np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, **arrays)
        entry = {"file": path.stem, "node": case.node, "name": case.name, "dt": case.dt}
        listed.append(entry | {"equation": case.equation})
        paths.append(path)
    listing = json.dumps(listed, indent=1, ensure_ascii=False)
    (place / "cases.json").write_text(f"{listing}\n", encoding="utf-8")
    return paths
