"""Everything that is tried, by name."""

from __future__ import annotations

from .checkpoints import Checkpoints
from .commands import Commands
from .configs import Configs
from .disks import Disks
from .events import EventFiles
from .images import Images
from .kills import Kills
from .lava_faults import LavaFaults
from .maps import Maps
from .rasters import Rasters
from .resumed import Resumed
from .subject import Subject
from .together import Together
from .zips import Zips

FILES = (Rasters(), Maps(), Checkpoints(), Zips(), Images(), EventFiles(), Configs())
COMMANDS = (Commands(), Resumed(), Together(), Kills(), Disks(), LavaFaults())
SUBJECTS: dict[str, Subject] = {subject.name: subject for subject in (*FILES, *COMMANDS)}
