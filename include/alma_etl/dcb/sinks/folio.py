"""mod-dcb as a sink: the transaction of a FOLIO side follows the request."""

from __future__ import annotations

from collections.abc import Callable

from alma_etl.dcb.events import STATUS_CHANGED
from alma_etl.dcb.machine.vocabulary import Txn
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.dcb.sinks.opening import Opening
from alma_etl.dcb.store.rows import OutboxRow, Tracked
from alma_etl.remote.service import HttpAccess


class ModDcbSink(Opening[ModDcb]):
    """Moves the transactions of the requests that have a side in ``systems`` (codes that share this connection).

    A change of status that stands for no transaction state, and a request without such a side, are no concern of it.
    """

    def __init__(self, name: str, access: Callable[[], HttpAccess], systems: frozenset[str]) -> None:
        super().__init__(name, access)
        self._systems = systems

    def client_for(self, access: HttpAccess) -> ModDcb:
        """Called by `Opening`."""
        return ModDcb(access)

    def tell(self, client: ModDcb, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Move each side's transaction to the state that the event names, unless it is there or beyond."""
        for leg in tracked.legs.values():
            if leg.system_code in self._systems and leg.txn_id is not None:
                answer = client.move_to(leg.txn_id, Txn(row.payload["txn_state"]), leg.role)
                if not isinstance(answer, Done):
                    return answer
        return Done()

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """As `Opening.deliver`; what does not concern it is done without opening anything."""
        state = row.payload.get("txn_state")
        ours = any(leg.system_code in self._systems and leg.txn_id for leg in tracked.legs.values())
        if row.type != STATUS_CHANGED or state in (None, Txn.CREATED) or not ours:
            return Done()
        return super().deliver(row, tracked)
