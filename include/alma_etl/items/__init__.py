"""Item loads: holdings and items in Alma for the rows of a file that somebody dropped; `job.py` is the whole of it."""
