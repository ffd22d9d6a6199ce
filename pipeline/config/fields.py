"""Settings that files of configuration and commands have in common: their types, limits and lines of help."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

CheckpointName = Annotated[str, Field(description="a bundled checkpoint's name, or a checkpoint file")]
Data = Annotated[
    tuple[str, ...] | None,
    Field(
        description='images: "cluttered-digits", "cifar10", "fashion-mnist", a data set (folder or zip), or files; '
        'events: "saccade-digits", a folder of class folders, or files; if not given, the digits that fit the network'
    ),
]
Device = Annotated[str, Field(description="where torch computes: auto, cpu, cuda, cuda:1")]
Download = Annotated[bool, Field(description="fetch cifar10 or fashion-mnist if it is not here")]
KeptSteps = Annotated[
    str,
    Field(
        description='which maps are kept step by step, beside the sums: "pictured" (all steps of the samples that are '
        'pictured), "all", "none", or of all samples first:last:every, such as 0:100 or ::10'
    ),
]
Samples = Annotated[
    int, Field(ge=1, description="how many images or recordings, in a random order in which classes take turns")
]
Seed = Annotated[int, Field(ge=0, lt=1 << 63, description="seed of the order of the images, and of the Poisson spikes")]
