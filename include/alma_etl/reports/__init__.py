"""Reports for people: tables that a spreadsheet opens without harm, and pages to read."""
