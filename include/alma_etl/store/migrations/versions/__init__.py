"""One file a change, in a single line of succession."""
