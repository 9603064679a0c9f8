"""The control surface ``/sandbox/...``, and what staff do by it."""
