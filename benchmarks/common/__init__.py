"""Common parts of benchmarks: timing, reporting, where they run, random networks, and the peers."""
