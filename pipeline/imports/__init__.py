"""Networks of other libraries and files as a `Network`: read as operations, folded in one place,
torch's proven.

What cannot be imported is refused by a NetworkError that names the module or function, and what
would be possible.
"""
