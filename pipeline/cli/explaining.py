"""What `explain` and `gradcam` do once their options are parsed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from spikesam.pipeline.cli.options import figures_folder
from spikesam.pipeline.maps.explain import compute_maps, is_of, refuse_existing, target_of
from spikesam.pipeline.maps.method import method_of, offline_methods, refuse_foreign
from spikesam.pipeline.maps.steps import PICTURED
from spikesam.recordings.console import PlainConsole
from spikesam.recordings.disk import readable
from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.progress import Tracker


def explain_and_print(command: Any, source: str, own: Collection[str]) -> None:
    """Explain, print what was written, and draw it where figures are asked for.

    Parameters
    ----------
    command : its options, those of :class:`spikesam.pipeline.explain.Common` among them, under the same names
    source : what is explained
    own : names of the given options that belong to a method
    """
    given, method = command.model_fields_set & {*own, "layers", "steps"}, offline_methods()[command.method]
    refuse_foreign(method, sorted(given), lambda name: f"--{name.replace('_', '-')}:", "--method")
    chosen = method(**{name: getattr(command, name) for name in own})
    path = chosen.path(source)
    out = target_of(command.out, path, chosen)
    if not isinstance(out, Path):
        raise InputError("--out is needed: maps of a network have no raster beside which they could lie")
    overwrite = command.overwrite or (command.out is None and is_of(out, chosen))
    refuse_existing(out, path, overwrite)
    tracker, console = Tracker(), PlainConsole(soft_wrap=True)
    with (
        figures_folder(command.figures, command.overwrite),
        chosen.prepare(source, command.layers, command.steps, PICTURED) as explainer,
    ):
        compute_maps(explainer, out, tracker, overwrite=overwrite)
        with MapReader(out, trusted=True) as maps:
            written = f"{readable(maps.size)}, {explainer.what}, layers {', '.join(maps)} ({maps.header.kept})"
            console.print(*explainer.notes, f"{out}  {written}", sep="\n")
            if command.figures is not None:
                # Here, because importing matplotlib takes a second.
                from spikesam.pipeline.drawing.figures import save_figures

                about = method_of(maps.header, maps.where), explainer.subjects(maps.predictions[:PICTURED])
                console.print(*map(str, save_figures(maps, *about, command.figures, explainer.raster)), sep="\n")
