"""Bad days on real parts."""
