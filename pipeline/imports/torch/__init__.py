"""The reader of torch models: each is followed while it runs, through its modules and the functions
between them.
"""
