"""Operators: each reads its arguments, gets its clients from the hooks, and calls one domain function."""
