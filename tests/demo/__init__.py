"""The demo's promises: the same invented district and year, every time."""
