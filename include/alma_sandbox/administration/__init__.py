"""Sets, jobs, PO lines and webhooks of one sandbox."""
