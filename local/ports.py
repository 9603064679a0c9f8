"""Free ports on 127.0.0.1."""

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass

# Below the range from which Linux and macOS take ports for outgoing connections, so that a port
# that is free now is still free when the server that was promised it starts.
_LOWEST, _HIGHEST = 20_000, 32_767
_LAST = 65_535


class PortTakenError(RuntimeError):
    """A port that was asked for by a setting is in use."""


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different free ports, chosen at random so that stacks started together do not meet."""
    ports: list[int] = []
    for port in random.sample(range(_LOWEST, _HIGHEST), _HIGHEST - _LOWEST):
        if is_free(port):
            ports.append(port)
            if len(ports) == count:
                return ports
    raise RuntimeError(f"No {count} free ports between {_LOWEST} and {_HIGHEST} on 127.0.0.1.")


@dataclass(frozen=True)
class Wanted:
    """A server's port: what a setting asks for, the usual one, and how far above it a second one must be free too."""

    what: str
    usual: int
    setting: str
    asked_for: int | None = None
    second: int = 0

    def free(self, port: int) -> bool:
        """Whether a server could listen there now."""
        return all(number <= _LAST and is_free(number) for number in {port, port + self.second})


def choose_ports(
    wanted: dict[str, Wanted], last: dict[str, int], *, usual: bool, say: Callable[[str], None]
) -> dict[str, int]:
    """A port for each: the one asked for, else that of the last start, else the usual one, else any free one.

    A port that a setting names and that is taken is an error (PortTakenError), never silently another one.
    """
    chosen: dict[str, int] = {}
    for name, each in wanted.items():
        if each.asked_for is not None:
            if each.asked_for in chosen.values() or not each.free(each.asked_for):
                also = f" (or {each.asked_for + each.second}, which goes with it)" if each.second else ""
                raise PortTakenError(
                    f"{each.setting} asks for port {each.asked_for} of 127.0.0.1, which another program uses{also}: "
                    f"stop that program, set {each.setting} to another port, or leave it out to get a free one."
                )
            chosen[name] = each.asked_for
    for name, each in wanted.items():
        if name in chosen:
            continue
        preferred = [last[name]] if name in last else []
        preferred += [each.usual] if usual else []
        free = (port for port in preferred if port not in chosen.values() and each.free(port))
        port = next(free, None) or next(
            port for port in free_ports(40) if port not in chosen.values() and each.free(port)
        )
        if preferred and port != preferred[0]:
            say(f"{each.what}: port {preferred[0]} is used by another program, so it is {port} this time.")
        chosen[name] = port
    return chosen
