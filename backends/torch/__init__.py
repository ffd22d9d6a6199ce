"""Layer by layer with torch, on a CPU or a CUDA GPU."""
