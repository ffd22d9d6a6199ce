"""Configurations of trainings that take seconds."""

OF_IMAGES = """
[data]
height = 16
width = 24

[network]
layers = [6, "P", 8, "P4", "D16"]
timesteps = 8

[training]
epochs = 3
batch_size = 8
learning_rate = 0.02
selection = 0.25
shift = 1
precision = "bfloat16"
dropout = 0.1
"""


OF_EVENTS = """
[data]
height = 12
width = 12
window_us = 1000

[network]
encoder = "spikes"
layers = [4, "P", 6, "P", "D16"]
timesteps = 12
leak = 0.9

[training]
epochs = 6
batch_size = 8
learning_rate = 0.02
selection = 0.25
flip = false
shift = 1
"""
