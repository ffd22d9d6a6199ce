"""The cost of a recording: its operations, and with a table of prices its energy, by layer, step,
class and pixel.
"""
