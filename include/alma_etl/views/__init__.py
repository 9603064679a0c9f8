"""What the pages under /alma/ show: one module a page reads the state store and returns plain values, no HTML."""
