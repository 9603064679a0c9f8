"""Embedded order data: from a record and its profile to PO lines. Nothing in here asks Alma."""
