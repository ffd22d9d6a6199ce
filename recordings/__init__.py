"""Spike rasters and maps on disk: their formats, writers and checked readers (see FORMAT.md)."""
