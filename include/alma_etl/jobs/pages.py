"""Pages for people, made from the templates of this package."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from alma_etl.counted import counted, verb

_environment = Environment(
    loader=PackageLoader("alma_etl.jobs"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"counted": counted, "verb": verb}


def render(template: str, **values: object) -> bytes:
    """The page as UTF-8 HTML; values are escaped. A name that the template does not get is an error."""
    return _environment.get_template(template).render(**values).encode()
