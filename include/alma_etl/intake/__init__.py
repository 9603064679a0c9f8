"""Files that people drop into the bucket: noticing them, reading them whatever program wrote them, filing them."""
