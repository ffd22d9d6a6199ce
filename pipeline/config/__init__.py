"""The settings: strict sections, read from TOML, saved resolved with every result."""

from .settings import (
    CONFIGS,
    Config,
    ConversionRule,
    ConversionSection,
    DataSection,
    NetworkSection,
    RunSection,
    Section,
    TrainingPrecision,
    TrainingSection,
    Unit,
    load_config,
    read_config,
    resolved,
    save_config,
)

__all__ = [
    "CONFIGS",
    "Config",
    "ConversionRule",
    "ConversionSection",
    "DataSection",
    "NetworkSection",
    "RunSection",
    "Section",
    "TrainingPrecision",
    "TrainingSection",
    "Unit",
    "load_config",
    "read_config",
    "resolved",
    "save_config",
]
