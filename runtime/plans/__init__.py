"""Programs as text: written out of runs, read back, checked, and run."""
