"""One tick of the DCB status sync: select what is due, poll, apply, act, publish, report, check.

Each step reads what the one before wrote into the run's folder, and may be repeated at any point: what the store has
taken it does not take twice.
"""
