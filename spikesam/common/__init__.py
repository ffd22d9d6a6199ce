"""Helpers of every part, which know no word of spiking networks: errors, text, files, locks,
processes.
"""
