"""A model is followed while it runs, through its modules and the functions between them."""
