"""`python -m alma_etl.dcb`: replay, check-setup, explain, nudge, adopt, relink, operator, alerts, acknowledge."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from alma_etl.counted import counted
from alma_etl.dcb.flows.check_setup import command as check_setup_command
from alma_etl.dcb.replay import replay_file
from alma_etl.errors import InputProblem

if TYPE_CHECKING:
    from alma_etl.dcb.settings import DcbSettings
    from alma_etl.dcb.store import DcbStore

_URL = "the state store: postgresql+psycopg://... or sqlite:///file"
_REASON = "why, in your words, for the history; no names of patrons"
_DECISIONS = ("rollback", "retry", "close-lost", "cleanup")


def main(arguments: list[str] | None = None) -> int:
    """0: done, and for `explain` the replay agrees; 1: bad input, nothing was done, or the replay does not agree."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "replay":
            sys.stdout.write(json.dumps(replay_file(given.file), indent=2, ensure_ascii=False) + "\n")
            return 0
        if given.command == "check-setup":
            return check_setup_command.run(given)
        work: dict[str, Callable[[DcbStore, argparse.Namespace], int]] = {
            "explain": _explain,
            "nudge": _nudge,
            "adopt": _adopt,
            "relink": _relink,
            "operator": _operator,
            "alerts": _alerts,
            "acknowledge": _acknowledge,
        }
        return _with_store(given, work[given.command])
    except InputProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alma_etl.dcb", description="Look into DCB requests, and decide about them."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("replay", help="run observations through the state machine, print JSON")
    command.add_argument("file", type=Path, help="a JSON array of cases: name and observations")
    command = commands.add_parser(
        "check-setup", help="check what the systems lack; asks them, and writes nothing"
    )
    check_setup_command.add_arguments(command)
    command = commands.add_parser("explain", help="explain why a request is in its state, and check it")
    command.add_argument("url", help=_URL)
    command.add_argument("pr_id", help="the id of the patron request")
    command = commands.add_parser("nudge", help="let the next tick look at requests, at everything of them")
    command.add_argument("url", help=_URL)
    command.add_argument("pr_id", nargs="+", help="ids of patron requests")
    command.add_argument("--by", help="your login, for the history")
    command.add_argument("--reason", help=_REASON)
    command = commands.add_parser("adopt", help="watch requests that another service runs: those of a list")
    command.add_argument("url", help=_URL)
    command.add_argument("file", type=Path, help="JSON, JSON lines or a table: docs/schemas/dcb_adopt.json")
    command.add_argument(
        "--config",
        type=Path,
        help="a copy of your config/dcb.yaml: its systems; without it those of the sandboxes",
    )
    command = commands.add_parser(
        "relink", help="give a side the ids that its user, title, holding or item have in Alma by now"
    )
    command.add_argument("url", help=_URL)
    command.add_argument("pr_id", help="the id of the patron request")
    command.add_argument("role", choices=("SUPPLIER", "BORROWER", "PICKUP"))
    command.add_argument(
        "--user", help="primary identifier of the user, as one into whom the patron was merged"
    )
    command.add_argument("--mms", help="MMS id of the title")
    command.add_argument("--holding", help="id of the holding")
    command.add_argument("--item", help="id (pid) of the item")
    command.add_argument("--by", required=True, help="your login, for the history")
    command.add_argument("--reason", help="why, for the history; no names of people")
    command.add_argument("--config", type=Path, help="a copy of your config/dcb.yaml, as of operator")
    command = commands.add_parser("operator", help="decide about a request; see the runbook dcb_status_sync")
    command.add_argument("url", help=_URL)
    command.add_argument("pr_id", help="the id of the patron request")
    command.add_argument("decision", choices=_DECISIONS)
    command.add_argument("--by", required=True, help="your login, for the history")
    command.add_argument("--reason", help=_REASON)
    command.add_argument("--force", action="store_true", help="close although the book is out")
    command.add_argument(
        "--config",
        type=Path,
        help="a copy of your config/dcb.yaml: its mode and its sinks; without it as in the mode drive",
    )
    command = commands.add_parser("alerts", help="list what is open and what to do, the oldest first")
    command.add_argument("url", help=_URL)
    command = commands.add_parser("acknowledge", help="somebody is at an alert: it turns no run red any more")
    command.add_argument("url", help=_URL)
    command.add_argument("key", help="the alert's key, as `alerts` lists it")
    command.add_argument("--by", required=True, help="your login")
    command.add_argument("--reason", help=_REASON)
    return parser


def _with_store(given: argparse.Namespace, work: Callable[["DcbStore", argparse.Namespace], int]) -> int:
    # Replaying needs no store, nor the libraries that come with it.
    from alma_etl.dcb.store import DcbStore
    from alma_etl.store.db import StoreUnavailable

    try:
        with DcbStore(given.url) as store:
            return work(store, given)
    except StoreUnavailable as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _explain(store: "DcbStore", given: argparse.Namespace) -> int:
    from alma_etl.dcb.explain import explain

    explained = explain(store, given.pr_id)
    if explained is None:
        raise InputProblem(f"There is no request {given.pr_id} in the state store.")
    sys.stdout.write(explained.text)
    return 1 if explained.agrees is False else 0


def _nudge(store: "DcbStore", given: argparse.Namespace) -> int:
    from alma_etl.dcb.decisions import nudge

    now = datetime.now(UTC)
    nudged = nudge(store, _settings(given), given.pr_id, now=now, by=given.by, reason=given.reason)
    asked = len(set(given.pr_id))
    sys.stdout.write(f"{nudged} of {counted(asked, 'request')} will be looked at by the next tick.\n")
    if nudged < asked:
        raise InputProblem("The others are settled, or not tracked.")
    return 0


def _alerts(store: "DcbStore", given: argparse.Namespace) -> int:
    from alma_etl.dcb.store.rows import do_about

    for alert in store.open_alerts():
        since = f"{alert.first_seen:%Y-%m-%d %H:%M}" if alert.first_seen else ""
        sys.stdout.write(
            "\t".join([alert.severity, since, alert.key, alert.acked_by or "", do_about(alert)]) + "\n"
        )
    return 0


def _acknowledge(store: "DcbStore", given: argparse.Namespace) -> int:
    from alma_etl.dcb.decisions import acknowledge

    now, settings = datetime.now(UTC), _settings(given)
    if not acknowledge(store, settings, given.key, by=given.by, now=now, reason=given.reason):
        raise InputProblem(f"There is no open alert {given.key}.")
    sys.stdout.write(f"{given.key} is acknowledged until it is over.\n")
    return 0


def _adopt(store: "DcbStore", given: argparse.Namespace) -> int:
    from alma_etl.dcb.flows.adopt.job import adopt_file

    if not given.file.is_file():
        raise InputProblem(f"There is no file {given.file}")
    counts, refused = adopt_file(store, given.file, settings=_settings(given), now=datetime.now(UTC))
    sys.stdout.write(", ".join(f"{number} {outcome}" for outcome, number in counts.items()) + ".\n")
    sys.stderr.writelines(f"{message}\n" for message in refused)
    if not any(counts.values()):
        raise InputProblem(f"{given.file} holds no request.")
    return 1 if counts["refused"] == sum(counts.values()) else 0


def _settings(given: argparse.Namespace) -> "DcbSettings":
    """Those of ``--config``, else those that ship, as in the mode drive."""
    from alma_etl.dcb.settings import DcbSettings, shipped_settings
    from alma_etl.jobs.settings_files import read_settings

    if getattr(given, "config", None) is None:
        return shipped_settings().model_copy(update={"mode": "drive"})
    text = check_setup_command.text_of(given.config)
    return read_settings(text, DcbSettings, source=str(given.config))


def _relink(store: "DcbStore", given: argparse.Namespace) -> int:
    from alma_etl.dcb.decisions import relink
    from alma_etl.dcb.machine.vocabulary import Role

    ids = {"user_id": given.user, "mms_id": given.mms, "holding_id": given.holding, "item_pid": given.item}
    settings, now = _settings(given), datetime.now(UTC)
    role = Role(given.role)
    sentence = relink(store, settings, given.pr_id, role, ids, by=given.by, now=now, reason=given.reason)
    sys.stdout.write(f"{sentence}\n")
    return 0


def _operator(store: "DcbStore", given: argparse.Namespace) -> int:
    from alma_etl.dcb.decisions import decide

    # Where DCB only observes, the next tick leaves what is kept here undone; not keeping it would lose it elsewhere.
    settings = _settings(given)
    sentence = decide(
        store,
        settings,
        given.pr_id,
        given.decision,
        by=given.by,
        now=datetime.now(UTC),
        force=given.force,
        reason=given.reason,
    )
    sys.stdout.write(f"{sentence}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
