"""Direct consortial borrowing: what was seen of a request on all its sides, and what follows from it.

`reducer.step` is the state machine, a pure function. Around it: `replay` (without a store), `tables` and the
repository modules (the store), `plan` (what to read when), `settings` (config/dcb.yaml) and `conf` (what a run is
given). `ports` names what the machine needs from outside: a reader, an actor, a sink.
"""
