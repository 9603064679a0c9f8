"""Calls, bodies, answers and errors as they travel, and the server; nothing here knows a record."""
