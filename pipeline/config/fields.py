"""Settings that files of configuration and commands have in common: their types, limits and lines
of help.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from spikesam.backends.available import BACKENDS
from spikesam.common.arguments import Declared
from spikesam.pipeline.images import DATA, DOWNLOAD, SAMPLES, SEED


def _known_backend(name: str) -> str:
    """The name; those of other packages are looked for now, so not where settings are declared."""
    names = ["auto", *BACKENDS]
    if name not in names:
        expected = f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}"
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        )
    return name


BackendName = Annotated[
    str,
    AfterValidator(_known_backend),
    Field(
        description=f"the simulator: {', '.join(BACKENDS.built_in)}, or one of another package; "
        "auto is torch where there is a CUDA device, and event otherwise"
    ),
]
CheckpointName = Annotated[
    str, Field(description="a bundled checkpoint's name, or a checkpoint file")
]
Data = Annotated[tuple[str, ...] | None, Field(description=DATA)]
Device = Annotated[str, Field(description="where torch computes: auto, cpu, cuda, cuda:1")]
Download = Annotated[bool, Field(description=DOWNLOAD)]
KeptSteps = Annotated[
    str,
    Field(
        description='which maps are kept step by step, beside the sums: "pictured" (all steps of '
        "the samples that are "
        'pictured), "all", "none", or of all samples first:last:every, such as 0:100 or ::10'
    ),
]
SampleCount = Annotated[int, Field(ge=1, description=SAMPLES)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63, description=SEED)]


def option_field(option: Declared, note: str = "") -> tuple[Any, Any]:
    """An option of a map method or backend as a field, for :func:`pydantic.create_model`."""
    kind, has, default = option
    return kind, Field(
        default, description=has.about + note, ge=has.at_least, lt=has.below, gt=has.above
    )
