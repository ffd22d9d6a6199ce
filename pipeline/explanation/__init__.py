"""`explain`: maps of rasters, networks and models."""
