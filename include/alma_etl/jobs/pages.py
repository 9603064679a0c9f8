"""Pages for people, made from the templates of a package: the reports here, the pages under /alma/ elsewhere."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from alma_etl.counted import counted, verb


def environment(package: str) -> Environment:
    """The templates in the folder `templates` of a package. Values are escaped; a name that a template does not get is
    an error."""
    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"counted": counted, "verb": verb}
    return made


_environment = environment("alma_etl.jobs")


def render(template: str, **values: object) -> bytes:
    """A report as UTF-8 HTML."""
    return _environment.get_template(template).render(**values).encode()
