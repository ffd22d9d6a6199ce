"""The modules of other libraries that are neurons, and their equations: a library a file, for
imports and for recordings.
"""
