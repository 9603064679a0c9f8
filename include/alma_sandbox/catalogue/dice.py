"""Choices that look random and are a pure function of the seed and a key."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Dice for one record: the same seed, key and question always give the same answer."""

    def __init__(self, seed: int, *key: object) -> None:
        self._hash = blake2b(repr((seed, *key)).encode(), digest_size=8)

    def below(self, limit: int, question: str) -> int:
        """A number from 0 to ``limit`` - 1."""
        digest = self._hash.copy()
        digest.update(question.encode())
        return int.from_bytes(digest.digest(), "big") % limit

    def between(self, low: int, high: int, question: str) -> int:
        """A number from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1, question)

    def pick(self, choices: Sequence[T], question: str) -> T:
        """One of the choices."""
        return choices[self.below(len(choices), question)]
