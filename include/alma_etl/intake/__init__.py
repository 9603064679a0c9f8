"""Which dropped files there are, and which have had their run."""
