"""The state machine of a patron request: pure functions, no network, no store."""
