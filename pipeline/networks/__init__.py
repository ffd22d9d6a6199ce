"""Networks that train or are differentiated, and the files that hold them."""
