"""Pages made from the tables that experiments left: `python -m pipeline.paper pages`."""
