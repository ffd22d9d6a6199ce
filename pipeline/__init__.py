"""From images to spikes to pictures: training, conversion, encoding,
explanation and the commands.
"""
