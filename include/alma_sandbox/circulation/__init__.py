"""Circulation: users, requests, loans, and the scan-in that moves items between their states."""
