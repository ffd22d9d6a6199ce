"""From an ANN to a spiking network: thresholds, Algorithm 1, and how many steps it needs."""
