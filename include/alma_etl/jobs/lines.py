"""Many numbers of lines in little memory."""

from collections.abc import Collection, Iterator


class Lines(Collection[int]):
    """Numbers of lines, a bit each: of a file of a million records an eighth of a megabyte, however many are in it."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._count = 0

    def add(self, line: int) -> None:
        """Take a number, from 0 on."""
        at, bit = divmod(line, 8)
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits)))
        if not self._bits[at] >> bit & 1:
            self._bits[at] |= 1 << bit
            self._count += 1

    def __contains__(self, line: object) -> bool:
        if not isinstance(line, int) or line < 0:
            return False
        at, bit = divmod(line, 8)
        return at < len(self._bits) and bool(self._bits[at] >> bit & 1)

    def __iter__(self) -> Iterator[int]:
        return (line for line in range(len(self._bits) * 8) if line in self)

    def __len__(self) -> int:
        return self._count
