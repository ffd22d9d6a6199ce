"""Watching networks while they are trained."""
