"""The raster file: its schema, its writer, and its checked reader (see FORMAT.md)."""
