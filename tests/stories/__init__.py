"""What people live through, across services, over HTTP."""
