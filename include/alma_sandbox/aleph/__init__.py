"""A pretend Aleph: items of an administrative library, and the X-Server that reads, updates and creates them."""
