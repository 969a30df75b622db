"""The plumbing, piece by piece."""
