"""Edits: recorded spikes are silenced or added, and all that depends on them is simulated again."""
