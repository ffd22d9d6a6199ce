"""Spike rasters and maps on disk: their formats, writers, checked readers and the validator (see FORMAT.md)."""

from spikesam.recordings.foreign_settings import ignore_foreign_settings

ignore_foreign_settings()
