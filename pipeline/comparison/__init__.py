"""Agreement of a network with the model that it was imported from; and the first bit in which
two rasters differ.
"""
