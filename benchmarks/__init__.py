"""How fast and how small: this project beside its peers, measured side by side in one run."""
