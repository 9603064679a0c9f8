"""What every job stands on: run folder, checkpoints, dropped files, settings files, reports."""
