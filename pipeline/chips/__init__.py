"""A recording on the model of a neuromorphic chip: does it fit, does it fire the same spikes, what
time and energy does it take?
"""
