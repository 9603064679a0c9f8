"""Placing a request from the lender to the patron's hold, and cancelling one: step by step, safe to repeat."""
