"""Pictures: `figures` says which a run gets; `grid`, `curves`, `intervals`, `rates`, `raster` draw a kind each."""
