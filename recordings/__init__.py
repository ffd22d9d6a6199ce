"""Spike rasters on disk: the file format, its writer, its checked reader and the validator (see FORMAT.md)."""
