"""Everything that is tried, by name."""

from __future__ import annotations

from .bombs import Bombs
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
from .workplace import RECIPES
from .zips import Zips

FILES = (Rasters(), Maps(), Checkpoints(), Zips(), Images(), EventFiles(), Configs(), Bombs())
COMMANDS = (Commands(), Resumed(), Together(), Disks(), LavaFaults(), *map(Kills, RECIPES))
SUBJECTS: dict[str, Subject] = {subject.name: subject for subject in (*FILES, *COMMANDS)}


def chosen(names: str | None) -> list[str]:
    """The subjects of a list with commas; "kills" stands for "kills-event", "kills-torch" and so on.

    Raises
    ------
    ValueError : naming the one that is unknown
    """
    found = []
    for wanted in names.split(",") if names else SUBJECTS:
        matching = [name for name in SUBJECTS if name == wanted or name.startswith(f"{wanted}-")]
        if not matching:
            raise ValueError(f"unknown subject {wanted!r}, expected some of {', '.join(SUBJECTS)}")
        found += matching
    return list(dict.fromkeys(found))
