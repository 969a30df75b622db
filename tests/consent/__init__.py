"""The promises of the consent service."""
