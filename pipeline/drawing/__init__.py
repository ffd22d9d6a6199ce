"""Pictures: `figures` says which a run gets; `grid`, `curves`, `rates`,
`raster` draw a kind each.
"""
