"""Networks of other libraries as a `Network`: followed while they run, folded, and proven.

What cannot be imported is refused by a NetworkError that names the module or function, and what would be possible.
"""
