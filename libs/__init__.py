"""Libraries that know no service."""
