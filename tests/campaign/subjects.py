"""Everything that is tried, by name."""

from __future__ import annotations

from .checkpoints import Checkpoints
from .configs import Configs
from .events import EventFiles
from .images import Images
from .maps import Maps
from .rasters import Rasters
from .subject import Subject
from .zips import Zips

SUBJECTS: dict[str, Subject] = {
    subject.name: subject for subject in (Rasters(), Maps(), Checkpoints(), Zips(), Images(), EventFiles(), Configs())
}
