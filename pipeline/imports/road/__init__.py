"""One list of operations between every foreign network and ours, and the one place that folds them."""
