"""What the DCB jobs do: a tick, placing, cancelling and reconciling requests."""
