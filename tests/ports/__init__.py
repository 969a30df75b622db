"""The contracts of the ports: the same tests over every adapter of each."""
