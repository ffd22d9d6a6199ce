"""What recorded layers are called: short identifiers, from the names of modules."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from torch import nn

from spikesam.pipeline.imports.layer_names import layer_name
from spikesam.recordings.errors import InputError
from spikesam.recordings.schema import check_name


def named_modules(model: nn.Module, layers: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """Names of modules, as `model.named_modules()` gives them -> names of layers, which `layers` may say, too."""
    if isinstance(layers, str):
        raise InputError(f'layers: got {layers!r}, expected several names, such as ["{layers}"]')
    names = list(layers)
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            near = difflib.get_close_matches(str(name), modules, 3) or [other for other in modules if other][:8]
            raise InputError(f"layers: no module {name!r} in {type(model).__name__}; did you mean {' or '.join(near)}?")
    return dict(layers) if isinstance(layers, Mapping) else layer_names(model, names)


def layer_names(model: nn.Module, modules: Iterable[str]) -> dict[str, str]:
    """Names of modules -> names of layers, see :func:`spikesam.pipeline.imports.layer_names.layer_name`."""
    return {module: layer_name(model, module) for module in modules}


def check_names(names: Iterable[str]) -> None:
    """Refuse what cannot be the names of layers."""
    known = set()
    for name in names:
        check_name(name)
        if name in known:
            raise InputError(f"layer {name!r}: got two of this name; give names with layers={{module: name}}")
        known.add(name)
