"""Golden vectors: a network in integers, and what it fires,
for the check of a design in hardware.
"""
