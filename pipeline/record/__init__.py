"""Recording the spikes of torch networks that others wrote, with hooks that change nothing."""
