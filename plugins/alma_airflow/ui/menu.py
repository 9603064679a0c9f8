"""Which pages there are, in the order in which they are shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MenuEntry:
    """A page: its name, and its path below `/alma`."""

    label: str
    path: str


MENU = (
    MenuEntry("Overview", "/"),
    MenuEntry("Deliveries", "/deliveries"),
    MenuEntry("Files", "/files"),
    MenuEntry("Requests", "/requests"),
    MenuEntry("API budget", "/budget"),
    MenuEntry("Set-up", "/set-up"),
)
