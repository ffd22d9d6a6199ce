"""Model and network fire the same bits, or it is said where not, and why."""
