"""Pages made from the tables that experiments left: `python -m paper pages`."""
