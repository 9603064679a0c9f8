"""A restart, without the processes: the state as a file holds it, in a world that was just made."""

import json
from typing import Any

from alma_sandbox.consortium.world import Consortium
from alma_sandbox.control.surface import snapshot
from alma_sandbox.sandbox import Sandbox
from alma_sandbox.state import kept


def restarted(world: kept.World) -> Any:
    """A new world with what a state file keeps of another."""
    text = json.dumps(kept.dump(world))
    fresh = type(world)(world._initial)
    kept.restore(fresh, json.loads(text))
    return fresh


def check_survives_a_restart(world: kept.World) -> None:
    """Every part has every attribute that is kept, of the same type and value, and nobody sees a difference."""
    again = restarted(world)
    assert kept.dump(again) == kept.dump(world)
    for name, part in kept.parts(world).items():
        assert_declared(name, part)
        for attribute in kept.KEPT[type(part)]:
            before, after = getattr(part, attribute), getattr(kept.parts(again)[name], attribute)
            assert type(after) is type(before), (name, attribute)
            assert after == before, (name, attribute)
        for attribute in kept.REFERENCES.get(type(part), ()):
            found = kept.parts(again)[name]
            for things in getattr(found, attribute).values():
                assert all(found.by_id[thing.id] is thing for thing in things)
    if isinstance(world, Consortium):
        assert again.settings == world.settings
    else:
        assert snapshot(again) == snapshot(world)
        assert again.settings == world.settings


def assert_declared(name: str, part: Any) -> None:
    """Each attribute of a part is kept, left with a reason, or a part itself."""
    kind = type(part)
    declared = {*kept.KEPT[kind], *kept.LEFT.get(kind, {})}
    for attribute, value in vars(part).items():
        is_part = type(value) in kept.KEPT or isinstance(value, Sandbox)
        assert is_part != (attribute in declared), (
            f"{name}.{attribute}: say in kept.py what a restart does with it"
        )
    assert declared <= vars(part).keys(), (
        f"{name}: kept.py names {declared - vars(part).keys()}, which is not there"
    )
