"""Free ports on 127.0.0.1."""

import random
import socket

# Below the range from which Linux and macOS take ports for outgoing connections, so that a port
# that is free now is still free when the server that was promised it starts.
_LOWEST, _HIGHEST = 20_000, 32_767


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


def choose_port(usual: int | None, asked_for: int | None = None, setting: str = "port") -> int:
    """The port asked for, or else the usual one, or else any free one.

    A port that a setting names and that is taken is an error (PortTakenError), never silently another one.
    """
    if asked_for is not None:
        if not is_free(asked_for):
            raise PortTakenError(
                f"{setting} asks for port {asked_for} of 127.0.0.1, which another program uses: "
                f"stop that program, set {setting} to another port, or leave it out to get a free one."
            )
        return asked_for
    return usual if usual is not None and is_free(usual) else free_ports(1)[0]
