"""The two ways in which a run ends early by its own decision.

Both carry one sentence for the person who runs the job: what is wrong and what to do. Repeating the run
without a change would end the same way, so neither is retried.
"""


class RunStopped(Exception):
    """The run cannot go on: its input, its settings or the state it found forbid it."""


class InputProblem(RunStopped):
    """Bad input: an unknown set, a file that is not MARC, a setting out of bounds."""


class NotAcceptable(RunStopped):
    """The work was done, but its result may not leave the house: a gate is shut or records failed."""
