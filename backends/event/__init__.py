"""Event by event on the CPU: work is done where there are spikes."""
