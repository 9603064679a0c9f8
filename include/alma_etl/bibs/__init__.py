"""Bibliographic imports: records of a dropped file matched with the titles of an Alma, then merged or created."""
