"""Holdings and items of a title: found, made once, remembered; their fields and codes. No job is imported here."""
