"""Settings that files of configuration and commands have in common: their types, limits and lines of help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from spikesam.pipeline.images.option_help import DATA, DOWNLOAD, SAMPLES, SEED
from spikesam.recordings.arguments import options_of

CheckpointName = Annotated[str, Field(description="a bundled checkpoint's name, or a checkpoint file")]
Data = Annotated[tuple[str, ...] | None, Field(description=DATA)]
Device = Annotated[str, Field(description="where torch computes: auto, cpu, cuda, cuda:1")]
Download = Annotated[bool, Field(description=DOWNLOAD)]
KeptSteps = Annotated[
    str,
    Field(
        description='which maps are kept step by step, beside the sums: "pictured" (all steps of the samples that are '
        'pictured), "all", "none", or of all samples first:last:every, such as 0:100 or ::10'
    ),
]
Samples = Annotated[int, Field(ge=1, description=SAMPLES)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63, description=SEED)]


def option_fields(owner: Callable[..., Any], prefix: str = "") -> dict[str, Any]:
    """The options of a map method or backend as fields, for :func:`pydantic.create_model`."""
    return {
        prefix + name: (kind, Field(default, description=has.about, ge=has.at_least, lt=has.below, gt=has.above))
        for name, (kind, has, default) in options_of(owner).items()
    }
