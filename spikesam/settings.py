"""Settings as tables of TOML: those of spikesam, and sections of your own beside them.

A section is a frozen group of fields with limits and a line of help; a wrong key or value is
refused in one line that says what would be right:

    class Mine(Config):
        attack: AttackSection = AttackSection()

    settings = validated(Mine, read_toml(path))

:class:`Section` is what all are made from. :class:`Config` has those that `spikesam train` and
`spikesam convert` read: :class:`DataSection`, :class:`NetworkSection`, :class:`TrainingSection`,
:class:`ConversionSection`. :data:`ConversionRule`, :data:`Device`, :data:`Seed` and :data:`Unit` (a
number from 0 to 1) are types of fields. :func:`read_toml`, :func:`validated` and
:func:`save_config` read and write. :data:`CONFIGS` is the folder of the bundled files.

Examples
--------
>>> from spikesam.settings import Section, validated
>>> class AttackSection(Section):
...     epsilon: float = 0.1
>>> validated(AttackSection, {"epsilon": 0.2})
AttackSection(epsilon=0.2)
"""

from __future__ import annotations

from spikesam.pipeline.config import (
    CONFIGS,
    Config,
    ConversionRule,
    ConversionSection,
    DataSection,
    NetworkSection,
    Section,
    TrainingSection,
    Unit,
    save_config,
)
from spikesam.pipeline.config.fields import Device, Seed
from spikesam.pipeline.config.toml import read_toml, validated

__all__ = [
    "CONFIGS",
    "Config",
    "ConversionRule",
    "ConversionSection",
    "DataSection",
    "Device",
    "NetworkSection",
    "Section",
    "Seed",
    "TrainingSection",
    "Unit",
    "read_toml",
    "save_config",
    "validated",
]
