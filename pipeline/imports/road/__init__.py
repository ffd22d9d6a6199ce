"""One list of operations between every foreign network and ours, and one place that folds it."""
