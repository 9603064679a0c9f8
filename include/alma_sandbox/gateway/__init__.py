"""What stands before the application: keys and thresholds, faults, the log of calls."""
