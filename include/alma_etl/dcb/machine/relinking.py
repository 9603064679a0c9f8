"""What an operator's relinking of a side makes the machine forget: what was known of the thing that had the ids before.

How far the book has come on the patron's side stays, as does the barcode: that of another copy is then news, which the
virtual item follows.
"""

from dataclasses import fields

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Ack, Leg, StepContext
from alma_etl.dcb.machine.vocabulary import ItemState, Role

_OF_PLACE = ("item", "raw_base", "raw_process", "item_at", "missed")
_OF_ITEM = (
    *_OF_PLACE,
    *("item_since_gone", "away", "back", "item_id", "other_requests"),
    *("loan", "loan_process", "raw_loan", "raw_loan_process", "loan_at", "loan_id"),
    *("due", "renewed", "relent", "lent", "closed_in"),
)
_OF_USER = ("gone", "gone_since", "gone_last", "item_since_gone", "closure", "evidence", "confidence")
_DEFAULTS = {each.name: each.default for each in fields(Leg)}


def relink(ctx: StepContext, ack: Ack, role: Role) -> None:
    """Take OPERATOR_RELINKED: ``changed`` names the ids that are other ones from now on. What was read before that,
    by those of before, is stale."""
    leg = ctx.leg(role)
    leg.at = ack.at or leg.at
    leg.failed = frozenset()
    if "item_pid" in ack.changed:
        _forget(leg, _OF_ITEM)
        if role is Role.SUPPLIER:
            ctx.stand(flags.SUPPLIER_ITEM_CHANGED, False)
    elif leg.item is ItemState.GONE or leg.missed is not None:
        _forget(leg, _OF_PLACE)  # not where it was looked for
    if "user_id" in ack.changed:
        _forget(leg, _OF_USER)
        ctx.stand(flags.PATRON_GONE, False)


def _forget(leg: Leg, names: tuple[str, ...]) -> None:
    for name in names:
        setattr(leg, name, _DEFAULTS[name])
