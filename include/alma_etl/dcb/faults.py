"""A fault of ours in one request's work: reported by its kind and place, while the others go on."""

from __future__ import annotations

from pathlib import PurePath
from traceback import extract_tb


def fault_of(problem: BaseException) -> str:
    """Kind and place alone: the text of an error may quote an answer, and answers name people."""
    return f"an unexpected {type(problem).__name__} at {_place(problem)}"


def _place(problem: BaseException) -> str:
    frames = extract_tb(problem.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
