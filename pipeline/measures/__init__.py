"""Measures of maps: pure functions on NumPy arrays; docs/measures.md lists them with their formulas
and sources.

Maps are slices (..., T, H, W) of what a map file holds. Callers pass only the steps whose spikes
can still change the answer (:func:`spikesam.recordings.schema.steps_that_matter`); a measure uses
every step that it is given.
"""
