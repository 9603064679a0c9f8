"""Which format a caller asks for."""

from collections.abc import Mapping


def wants_json(query: Mapping[str, str], accept: str) -> bool:
    """Whether the answer is to be JSON: ``format=`` decides, else the Accept header; XML when it names neither."""
    asked = query.get("format", "").lower()
    if asked in ("json", "xml"):
        return asked == "json"
    weights = {"json": 0.0, "xml": 0.0}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        for name, kinds in (("json", ("application/json",)), ("xml", ("application/xml", "text/xml"))):
            if kind in kinds:
                weights[name] = max(weights[name], _quality(parameters))
    return weights["json"] > weights["xml"] or (weights["json"] == weights["xml"] > 0 and _json_first(accept))


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _json_first(accept: str) -> bool:
    lowered = accept.lower()
    places = [lowered.find(kind) for kind in ("application/xml", "text/xml")]
    return lowered.find("application/json") < min(
        (place for place in places if place >= 0), default=len(lowered)
    )
