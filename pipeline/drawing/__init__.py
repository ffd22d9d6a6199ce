"""Pictures: `figures` chooses those of a run; `grid`, `curves`, `intervals`, `rates`, `raster` draw one kind each."""
