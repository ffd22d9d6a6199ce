"""Which modules of other libraries are neurons, and what they do: a library a file, for imports and
for recordings.
"""
