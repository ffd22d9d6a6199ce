"""Measures of the experiments: pure functions on arrays, and the tidy tables of what they gave."""
