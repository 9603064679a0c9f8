"""One side of a request whose system is a FOLIO: its mod-dcb transaction says in one word what Alma says in three."""

from __future__ import annotations

from collections.abc import Sequence

from alma_etl.dcb.machine.vocabulary import Txn
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.sides.read_errors import Failures
from alma_etl.dcb.store.rows import ReadError
from alma_etl.remote.answers import Absent, Found


class FolioReader:
    """Implements `ports.TransactionReader`. One for each thread; the client may be shared."""

    def __init__(self, mod_dcb: ModDcb) -> None:
        self._mod_dcb = mod_dcb
        self._failures = Failures()

    def transaction(self, txn_id: str) -> str | None:
        """GET /transactions/{id}/status, as mod-dcb spells it; MISSING for 404."""
        answer = self._mod_dcb.status(txn_id)
        if isinstance(answer, Found):
            return answer.value
        if isinstance(answer, Absent):
            return Txn.MISSING.value
        self._failures.add("txn", answer.error)
        return None

    def errors(self) -> Sequence[ReadError]:
        """What failed since this was last asked."""
        return self._failures.take()
