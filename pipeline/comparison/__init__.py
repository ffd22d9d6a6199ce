"""How well a network agrees with the model that it was imported from; and the first bit in which
two rasters differ.
"""
