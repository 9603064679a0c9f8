"""The client of Aleph's X-Server: items read, changed by partial records, and created."""
