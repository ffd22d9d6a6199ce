"""The page: one HTML file that shows a run, computes its maps itself, and asks for nothing."""
