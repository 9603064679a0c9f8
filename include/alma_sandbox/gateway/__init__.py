"""What stands before the application: keys, thresholds, faults, the log of calls."""
