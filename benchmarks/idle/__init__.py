"""A Lava graph that does nothing; in a folder of its own, because Lava imports all that lies beside a Process."""

from spikesam.backends.lava.repairs import repair_lava

repair_lava()
