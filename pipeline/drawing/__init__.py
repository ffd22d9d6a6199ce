"""Pictures: maps over images, curves, intervals."""
