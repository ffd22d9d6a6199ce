"""Spike rasters and maps on disk: their formats, writers, checked readers and the validator (see FORMAT.md)."""

from spikesam.recordings.foreign_settings import ignore_foreign_settings

ignore_foreign_settings()
plots = ""  # module that draws what readers read, `plot_raster` and `plot_maps`; told by whoever knows one
