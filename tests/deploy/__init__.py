"""The files by which people run Alliance on their own machines."""
