"""`python -m local demo|up|down`: what the make targets of the same names call."""

import sys

from .folders import reach_this_machine_directly
from .settings import SettingError


def main(arguments: list[str]) -> int:
    """Exit code 2 for a command that does not exist or a setting that cannot be used."""
    from . import daemon, demo

    commands = {"demo": demo.run, "up": daemon.up, "down": daemon.down}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(f"Usage: python -m local {'|'.join(commands)}", file=sys.stderr)
        return 2
    reach_this_machine_directly()
    try:
        return commands[arguments[0]]()
    except SettingError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
