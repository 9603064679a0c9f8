"""Adoption: what a dcb-service runs is watched here as well. It goes on acting; nothing is written for it."""
