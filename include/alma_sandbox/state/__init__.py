"""The clock, and what a restart keeps."""
