"""Neurons that repeat what arrives: they fire where there is a spike, and remember nothing."""

from spikesam.backends.network import LIF

# The threshold lies between 0 and 1, and above 1/2: the surrogate gradient of a membrane of 1 is 0 at 1/2, so that no
# gradient would pass. Without the reset to zero, what is subtracted would hide the next spike.
REPEATING = LIF(0.0, 0.75, reset="zero")
