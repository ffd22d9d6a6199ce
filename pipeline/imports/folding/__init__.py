"""What was followed, as the layers of a network."""
