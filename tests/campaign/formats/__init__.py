"""The formats of files that this project reads: good files of each, how they are read, and how they
are spoiled.
"""

from tests.campaign.formats import (
    checkpoints,
    configs,
    events,
    images,
    operations,
    rasters,
    zips,
)
from tests.campaign.formats.base import Content, Format

__all__ = ["FORMATS", "Content", "Format"]

FORMATS: dict[str, Format] = {
    "rasters": rasters.RASTERS,
    "maps": rasters.MAPS,
    "operations": operations.OPERATIONS,
    "checkpoints": checkpoints.CHECKPOINTS,
    "zips": zips.ZIPS,
    "images": images.IMAGES,
    "events": events.EVENTS,
    "toml": configs.CONFIGS,
}
