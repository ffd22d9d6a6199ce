"""Tools of those who develop the project."""
