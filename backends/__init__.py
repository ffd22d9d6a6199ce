"""Networks as data, and the simulators that run them to the same bits: event by event, torch and
Lava.
"""
