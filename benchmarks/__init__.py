"""Benchmarks: each beside a peer or the limit in the same run, printed as ratios."""
