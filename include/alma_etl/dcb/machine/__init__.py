"""The state machine of a patron request: pure, without network, store or clock.

In the order of reading: `vocabulary` (statuses, their order, words of Alma), `flags`, `model` (observations, state,
results and their stored forms), `evidence` (what observations do to the memory of a side, and the questions asked of
it), `rules` (what changes a status), `step` (the one function that everybody calls).
"""
