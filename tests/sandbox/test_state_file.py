"""The state file: a sandbox and a consortium go on after a restart, whatever ended them and whatever lies there."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import psutil
import pytest
import requests

from alma_sandbox import Settings, serve
from alma_sandbox.consortium import ConsortiumSettings
from alma_sandbox.consortium.world import Consortium
from alma_sandbox.sandbox import Sandbox
from alma_sandbox.state import kept, state_file
from alma_sandbox.state.state_file import RESERVE, StateFile, StateFileInUse
from tests.sandbox.caller import Caller
from tests.sandbox.records import HOLD, bib_xml, item_body
from tests.sandbox.restarts import assert_declared, restarted
from tests.sandbox.test_cli import command

TITLES = 20


def started(path: Path, settings: Any = None) -> tuple[Any, StateFile]:
    """What a start with this file has, and the file."""
    given = settings or Settings(titles=TITLES)
    file = StateFile(path)
    effective = file.read(given)
    world = Consortium(effective) if isinstance(effective, ConsortiumSettings) else Sandbox(effective)
    file.put_into(world)
    return world, file


def take(world: Sandbox) -> str:
    return world.catalogue.counter.take("23")


def asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.*.unused"))


@pytest.mark.parametrize("world", [Sandbox(Settings(titles=1)), Consortium(ConsortiumSettings())])
def test_every_attribute_of_every_part_is_declared_kept_or_left_with_a_reason(world: kept.World) -> None:
    for name, part in kept.parts(world).items():
        assert_declared(name, part)
    reachable = {
        type(value)
        for part in kept.parts(world).values()
        for value in vars(part).values()
        if type(value).__module__.startswith("alma_sandbox")
    }
    known = {*kept.KEPT, Settings, ConsortiumSettings, type(world)}
    assert {kind for kind in reachable if kind not in known} <= {type(Settings().place())}


def test_an_attribute_that_nobody_declared_is_found() -> None:
    world = Sandbox(Settings(titles=1))
    world.loans.overdue = {}  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match=r"loans\.overdue: say in kept"):
        assert_declared("loans", world.loans)


@pytest.mark.parametrize("value", [object(), 1j, b"bytes", Settings()])
def test_a_kind_of_value_that_nobody_named_is_an_error_and_no_silent_loss(value: object) -> None:
    with pytest.raises(TypeError, match="has no form in a state file"):
        kept.encode({"a": [value]})


def test_what_calls_changed_is_there_after_a_restart_and_ids_go_on(tmp_path: Path) -> None:
    with serve(Settings(titles=TITLES, per_second=0)) as running:
        alma = Caller(running)
        mms_id = "990010000000004401"
        holding_id = alma.get(f"/bibs/{mms_id}/holdings")["holding"][0]["holding_id"]
        item = alma.post(f"/bibs/{mms_id}/holdings/{holding_id}/items", item_body("B-1"))["item_data"]["pid"]
        request = alma.post(f"/users/patron001/requests?item_pid={item}", HOLD)["request_id"]
        bib = alma.post("/bibs", bib_xml())["mms_id"]
        alma.control("POST", "clock", {"advance_s": 86_400})
        alma.control("POST", "settings", {"latency_ms": 3, "webhook_url": "http://127.0.0.1:9/"})
        alma.fault(kind="drop", path="/never")
        used = running.sandbox.daily.used
        again = restarted(running.sandbox)
        now = running.sandbox.clock.now()
        again_app_state = again.requests.by_id[request]
    assert again.catalogue.item_by_barcode("B-1").pid == item
    assert again.catalogue.bib(bib).record.data("245")
    assert again_app_state.item_pid == item
    assert abs((again.clock.now() - now).total_seconds()) < 60
    assert again.settings.latency_ms == 3
    assert again.settings.webhook_url == "http://127.0.0.1:9/"
    assert again.daily.used == used
    assert again.faults.as_json() == []
    assert take(again) > item
    assert int(again.number("request")) > 0


@pytest.mark.parametrize("name", ["sandbox-state-1.json", "consortium-state-1.json"])
def test_a_file_that_an_older_version_wrote_is_taken_over_whole(name: str, tmp_path: Path) -> None:
    old = Path(__file__).with_name("data") / name
    path = tmp_path / "state.json"
    path.write_bytes(old.read_bytes())
    settings = ConsortiumSettings() if name.startswith("consortium") else Settings(titles=2, per_second=0)
    world, file = started(path, settings)
    assert file.said == []
    assert_within(json.loads(old.read_text())["state"]["parts"], kept.dump(world)["parts"])


def assert_within(old: Any, new: Any) -> None:
    """All of the one is in the other, which may have further fields."""
    if isinstance(old, dict):
        for key, value in old.items():
            assert_within(value, new[key])
    elif isinstance(old, list):
        for before, after in zip(old, new, strict=True):
            assert_within(before, after)
    else:
        assert new == old


def test_after_a_kill_no_id_is_given_again_that_was_given_after_the_last_writing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    world, _ = started(path)
    lost = [take(world) for _ in range(50)]
    lost_job = world.number("job")
    lost_event = world.events.emitted
    again, _ = started(path)
    assert take(again) > max(lost)
    assert again.number("job") > lost_job
    assert again.catalogue.counter.number("a kind never used before") >= RESERVE
    assert again.events.emitted > lost_event


def test_more_ids_than_are_held_in_reserve_are_written_down_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    world, file = started(path)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(RESERVE // 4):
            take(world)

    noting: Any = file.around(app)
    for _ in range(9):
        coroutine = noting({}, None, None)
        with pytest.raises(StopIteration):
            coroutine.send(None)
    last = take(world)
    again, _ = started(path)
    assert take(again) > last


def test_an_orderly_end_leaves_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    world, file = started(path)
    first = take(world)
    file.save(ended=True)
    again, _ = started(path)
    assert int(take(again)[:-4]) == int(first[:-4]) + 1


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "no state": lambda _: b'{"some": "JSON"}',
    "a list": lambda _: b"[]",
    "deep": lambda _: b"[" * 100_000,
    "binary": lambda _: b"\x80\x04\x95\xff",
    "another version": lambda content: content.replace(b'"version":1', b'"version":0'),
    "a part less": lambda content: content.replace(b'"loans":', b'"lost":'),
    "a kind less": lambda content: content.replace(b'"!":"AlmaSet"', b'"!":"os.system"'),
    "a field less": lambda content: content.replace(b'"private":', b'"secret":'),
    "another type": lambda content: content.replace(b'"by_number":{', b'"by_number":7,"x":{'),
    "a bad setting": lambda content: b'"nulls":"odd"'.join(content.rsplit(b'"nulls":"omitted"', 1)),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_file_that_cannot_be_used_is_said_and_kept_aside_and_ids_go_on(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    world, file = started(path)
    take(world)
    world.letters.append({"to": "patron001"})
    file.save(ended=True)
    before = take(world)
    content = DAMAGED[damage](path.read_bytes())
    assert content != path.read_bytes()
    path.write_bytes(content)
    again, file = started(path)
    assert again.letters == []
    (said,) = file.said
    assert "This start begins with a fresh state" in said
    (aside,) = asides(path)
    assert aside.name in said
    assert aside.read_bytes() == content
    assert take(again) > before
    third, file = started(path)
    assert file.said == []
    assert take(third) > before


@pytest.mark.parametrize("change", [{"seed": 8}, {"suffix": "4409"}, {"institution": "01OTHER"}])
def test_a_state_of_another_catalogue_is_kept_aside(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    world, file = started(path)
    world.letters.append({"to": "patron001"})
    file.save(ended=True)
    again, file = started(path, Settings(titles=TITLES, **change))
    assert again.letters == []
    assert f"it is of another catalogue ({next(iter(change))} " in file.said[0]
    assert len(asides(path)) == 1


def test_more_titles_are_taken_and_fewer_are_not(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    world, file = started(path)
    world.letters.append({"to": "patron001"})
    file.save(ended=True)
    more, file = started(path, Settings(titles=2 * TITLES))
    assert (more.settings.titles, more.catalogue.size, len(more.letters)) == (40, 40, 1)
    assert file.said == []
    file.save(ended=True)
    fewer, file = started(path, Settings(titles=TITLES))
    assert (fewer.settings.titles, fewer.catalogue.size, len(fewer.letters)) == (40, 40, 1)
    assert "so many hold, not 20" in file.said[0]


def test_a_setting_changed_while_running_holds_until_the_command_line_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    world, file = started(path, Settings(titles=TITLES, daily=100))
    world.change_settings({"daily": 50, "per_second": 3})
    file.save(ended=True)
    again, file = started(path, Settings(titles=TITLES, daily=100, per_second=9))
    assert (again.settings.daily, again.settings.per_second) == (50, 9)


def test_no_key_stands_in_the_file_and_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    started(path, Settings(titles=1, api_key="a-key-of-this-start"))
    assert b"a-key-of-this-start" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    again, _ = started(path, Settings(titles=1, api_key="another"))
    assert again.settings.api_key == "another"
    consortium = tmp_path / "consortium.json"
    started(consortium, ConsortiumSettings(api_key="its-key", client_secret="its-word"))
    assert not {b"its-key", b"its-word"} & set(consortium.read_bytes().split(b'"'))


def test_two_sandboxes_never_write_one_file(tmp_path: Path) -> None:
    first, second = StateFile(tmp_path / "state.json"), StateFile(tmp_path / "state.json")
    with first.locked(), pytest.raises(StateFileInUse, match="another sandbox that runs"), second.locked():
        pass
    with second.locked():
        pass


def test_a_file_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, file = started(tmp_path / "state.json")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_file.os, "fsync", full)
    for _ in range(3):
        take(world)
        file.save()
    assert capsys.readouterr().err.count("No space left on device. It is tried again.") == 1
    monkeypatch.undo()
    file.save()
    again, _ = started(tmp_path / "state.json")
    assert again.catalogue.counter._next["23"] == 3 + RESERVE


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def lend(url: str) -> str:
    headers = {"Authorization": "apikey other", "Accept": "application/json"}
    answer = requests.post(
        f"{url}/almaws/v1/users/patron001/requests?mms_id=990010000000004401",
        json=HOLD,
        headers=headers,
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_sandbox_goes_on_after_its_end(number: signal.Signals, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "state.json"
    monkeypatch.setenv("ALMA_SANDBOX_API_KEY", "other")
    arguments = ("--titles", "20", "--per-second", "0", "--state", str(path))
    with command(*arguments) as process:
        url = first_line(process)
        assert "other" not in " ".join(psutil.Process(process.pid).cmdline())
        made = lend(url)
        if number == signal.SIGKILL:  # within a moment it is written down
            deadline = 200
            while made not in path.read_text() and deadline:
                requests.get(f"{url}/sandbox/counts", timeout=30)
                deadline -= 1
                sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (out, err) == ("", "")
    with command(*arguments) as process:
        url = first_line(process)
        state = requests.get(f"{url}/sandbox/state", timeout=30).json()
        assert list(state["requests"]) == [made]
        headers = {"Authorization": "apikey other", "Accept": "application/json"}
        where = f"{url}/almaws/v1/users/patron002/requests?mms_id=990010000000024401"
        assert int(requests.post(where, json=HOLD, headers=headers, timeout=30).json()["request_id"]) > int(
            made
        )
        with command(*arguments) as second:
            _, err = second.communicate(timeout=30)
            assert second.returncode == 2
            assert "is the state of another sandbox that runs" in err


@pytest.mark.heavy
def test_a_consortium_goes_on_and_a_damaged_file_is_said_after_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "consortium.json"
    path.write_text("no JSON")
    with command("--state", str(path), module="alma_sandbox.consortium") as process:
        url = first_line(process)
        body = {"role": "LENDER", "item": {"id": "i", "barcode": "b"}, "patron": {"id": "p"}}
        headers = {"Authorization": "sandbox"}
        assert (
            requests.post(f"{url}/transactions/t-1", json=body, headers=headers, timeout=30).status_code
            == 201
        )
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "cannot be used: it is damaged" in err
    with command("--state", str(path), module="alma_sandbox.consortium") as process:
        url = first_line(process)
        status = requests.get(
            f"{url}/transactions/t-1/status", headers={"Authorization": "sandbox"}, timeout=30
        )
        assert status.json()["status"] == "CREATED"
    json.loads(path.read_text())
