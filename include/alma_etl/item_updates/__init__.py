"""Items changed from partial records: what a row names is written, everything else stays, in Alma or in Aleph."""
