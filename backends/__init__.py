"""Networks as data, and the simulators that run them to the same bits: torch and Lava."""
