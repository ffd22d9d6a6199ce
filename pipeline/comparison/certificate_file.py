"""The file of a certificate, JSON: what `spikesam verify` writes, and reads of anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from spikesam.common.errors import at
from spikesam.common.files import read_file
from spikesam.common.parsing import parse_json
from spikesam.common.stamp import Stamp
from spikesam.pipeline.config import Section
from spikesam.pipeline.config.toml import validated

STAMP = Stamp("spikesam-certificate", 2, "a certificate that spikesam verify wrote")
LARGEST, MOST_MARKS = 1 << 24, 1 << 17  # bytes, and marks of JSON


class Settings(Section):
    """The settings that decide the digests of a certificate, beside the model and the recording."""

    timesteps: int | None = Field(
        None,
        ge=1,
        description=(
            "steps of the input; those of the recording, or as the graph says, if not given"
        ),
    )
    dt: float | None = Field(
        None, gt=0, description="seconds in a step; 1e-4, or as the graph says, if not given"
    )
    reset: Literal["zero", "subtract"] | None = Field(
        None, description="of neurons; to zero, or as the graph says, if not given"
    )
    fires_at_threshold: bool | None = Field(
        None,
        description="v = threshold fires, as in SpikingJelly and sinabs; as the graph says, or "
        "not, as by NIR's equations, if not given",
    )
    samples: int = Field(4, ge=1, le=1000, description="of random input")
    rate: float = Field(
        0.3, ge=0, le=1, description="of random input: the probability of a spike at a step"
    )
    seed: int = Field(0, ge=0, lt=1 << 63, description="of random input")
    backends: tuple[str, ...] = Field(
        ("event", "torch"), min_length=1, description="backends to run on"
    )


class Run(Section):
    """The digests of one backend in one precision."""

    backend: str
    precision: str
    raster_digest: str
    layers: dict[str, str]


class Certificate(Section):
    """All that a certificate says."""

    format: str
    schema_version: int
    model: dict[str, str]
    settings: Settings
    input: dict[str, Any]
    runs: tuple[Run, ...]
    versions: dict[str, str]
    recording: dict[str, Any] | None = None


def read_certificate(path: Path) -> Certificate:
    """A certificate; refuses what is none."""
    text = read_file(path, LARGEST)
    with at(path):
        certificate = parse_json(text, MOST_MARKS)
        STAMP.check(certificate.get if isinstance(certificate, dict) else {}.get)
        return validated(Certificate, certificate)
