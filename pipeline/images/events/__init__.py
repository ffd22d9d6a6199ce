"""Events: what a camera records that reports changes of brightness, pixel by pixel, and how they
become spikes.
"""
