"""Calls, bodies, answers and errors as they travel, and the server."""
