"""Adapters: a URL's scheme picks one."""
