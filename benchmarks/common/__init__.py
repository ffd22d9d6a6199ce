"""What benchmarks share: timing, reporting, where they run, random networks, and the peers."""
