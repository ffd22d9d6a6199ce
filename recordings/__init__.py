"""Spike rasters and maps on disk: their formats, writers, checked readers and the validator (see FORMAT.md)."""
