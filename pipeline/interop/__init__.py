"""Recordings for other programs: as a data set of xarray, and as NWB, Zarr and NIR files."""
