"""Who is told of changes. `open_sinks` makes them from the settings; each delivers one event at a time.

Every sink looks before it writes or sends ids by which the receiver knows a repetition, so delivering twice does no
harm. A sink named ``dcb_ncip`` (lifecycle evidence to dcb-service) would be one more class here; docs/dcb.md says why
there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from alma_etl.dcb.settings import DcbSettings, SinkSettings
from alma_etl.dcb.sides.ports import Sink
from alma_etl.dcb.sinks.folio import ModDcbSink
from alma_etl.dcb.sinks.log import LogSink
from alma_etl.dcb.sinks.nudge import NudgeSink
from alma_etl.dcb.sinks.opening import Opening
from alma_etl.dcb.sinks.webhook import WebhookSink
from alma_etl.remote.service import HttpAccess

Access = Callable[[str], HttpAccess]
LastSent = Callable[[str, str], datetime | None]


def open_sinks(
    settings: DcbSettings,
    access: Access,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    last_sent: LastSent | None = None,
) -> list[Sink]:
    """The sinks of the settings; the log is always one of them.

    ``access`` gives the way to a connection's service; it is asked when the first event is delivered there, so that a
    broken connection holds up its own sink alone. ``last_sent(sink, pr_id)``: when an event of a request was last
    delivered (`DcbStore.last_sent`), by which `dcb_nudge` keeps its distance over runs. Close them by `close_sinks`.
    """
    given = {sink.name: sink for sink in settings.sinks}
    return [
        LogSink() if name == "log" else _sink(given[name], settings, access, now, last_sent)
        for name in settings.sink_names
    ]


def close_sinks(sinks: Sequence[Sink]) -> None:
    """Close what the sinks opened."""
    for sink in sinks:
        if isinstance(sink, Opening):
            sink.close()


def _sink(
    given: SinkSettings,
    settings: DcbSettings,
    access: Access,
    now: Callable[[], datetime],
    last_sent: LastSent | None,
) -> Sink:
    conn_id = given.conn_id or ""

    def way() -> HttpAccess:
        return access(conn_id)

    if given.type == "mod_dcb":
        systems = {code for code, each in settings.systems.items() if each.conn_id == conn_id}
        return ModDcbSink(given.name, way, frozenset(systems))
    if given.type == "dcb_nudge":
        return NudgeSink(given.name, way, now, last_sent)
    return WebhookSink(given.name, way)
