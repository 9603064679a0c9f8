"""What Airflow learns about this package: its connection types, with their forms."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The entry point `apache_airflow_provider`; without it the type `alma` is not in the list of connections."""
    return {
        "package-name": "alma-airflow",
        "name": "Ex Libris Alma",
        "description": "DAGs, hooks and operators for libraries that run Ex Libris Alma.",
        "extra-links": ["alma_airflow.ui.links.ReportLink", "alma_airflow.ui.links.AlmaJobLink"],
        "connection-types": [
            {
                "connection-type": "alma",
                "hook-class-name": "alma_airflow.hooks.alma.AlmaHook",
                "hook-name": "Ex Libris Alma",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"host": "API gateway URL", "password": "API key"},
                    "placeholders": {"host": "https://api-na.hosted.exlibrisgroup.com"},
                },
                "conn-fields": _ALMA_FIELDS,
            },
            {
                "connection-type": "aleph",
                "hook-class-name": "alma_airflow.hooks.aleph.AlephHook",
                "hook-name": "Ex Libris Aleph X-Server",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {
                        "host": "X-Server URL",
                        "login": "Aleph staff user",
                        "password": "Password of the staff user",
                    },
                    "placeholders": {"host": "https://aleph.example.org", "login": "WWW-X"},
                },
                "conn-fields": _ALEPH_FIELDS,
            },
        ],
    }


def _field(label: str, description: str, **schema: object) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": schema}


_ALMA_FIELDS = {
    "requests_per_second": _field(
        "Requests per second",
        "The rate that all jobs share. Alma refuses beyond its threshold for the whole institution (often 25, "
        "on a sandbox 10): stay a few per cent below, and leave room for discovery and other integrations.",
        type=["number", "null"],
        exclusiveMinimum=0,
        default=20,
    ),
    "max_in_flight": _field(
        "Requests in flight",
        "How many requests one task may have under way at once.",
        type=["integer", "null"],
        minimum=1,
        default=24,
    ),
    "quota_floor": _field(
        "Daily reserve when reading",
        "Reading stops when Alma says that no more calls than this are left for today.",
        type=["integer", "null"],
        minimum=0,
        default=5000,
    ),
    "quota_floor_writes": _field(
        "Daily reserve when writing",
        "Writing stops when no more calls than this are left for today.",
        type=["integer", "null"],
        minimum=0,
        default=1000,
    ),
    "timeout": _field(
        "Timeout in seconds",
        "How long one request may take until its whole answer is there.",
        type=["number", "null"],
        exclusiveMinimum=0,
        default=90,
    ),
    "environment": _field(
        "Environment",
        "Write sandbox for the pretend Alma of this project: only there the shipped example settings (set, symbol, "
        "libraries, locations, systems) are used. Any other word, and nothing, counts as production.",
        type=["string", "null"],
    ),
    "read_only": _field(
        "Read only",
        "Refuse every write before it is sent, whatever the key may do.",
        type=["boolean", "null"],
        default=False,
    ),
    "webhook_secret": _field(
        "Webhook secret",
        "The secret of the integration profile of type Webhooks in this Alma, whose listener URL is "
        "https://(this Airflow)/alma/webhooks/(system code of config/dcb.yaml). Empty: no webhooks are taken.",
        type=["string", "null"],
        format="password",
    ),
    "sru_url": _field(
        "Address of SRU",
        "Where this Alma answers SRU, up to the institution code and without a query: "
        "https://example.alma.exlibrisgroup.com/view/sru/01ABC_INST. Imports look up many numbers there by one request "
        "outside the quota. Empty: they use the API alone.",
        type=["string", "null"],
    ),
    "record_url": _field(
        "Link to a record",
        "The address at which people open a record of this Alma, with ids in braces: {mms_id}, {holding_id}, "
        "{item_pid}, {barcode}. The pages of Alma in the navigation link records there. Empty: no links.",
        type=["string", "null"],
    ),
    "job_url": _field(
        "Link to a job",
        "The address at which people open a run of a job of this Alma, with ids in braces: {job_id}, {instance_id}. "
        "Runs of import profiles link to it. Empty: no links.",
        type=["string", "null"],
    ),
}

_ALEPH_FIELDS = {
    "library": _field(
        "ADM library",
        "The administrative library whose items are read and written, such as USM50: at most 5 characters.",
        type=["string", "null"],
    ),
    "op_style": _field(
        "Spelling of operations",
        "update-item, as the services are documented, or update_item, as some installations want it.",
        type=["string", "null"],
        enum=["update-item", "update_item", None],
        default="update-item",
    ),
    "read_item_barcode_param": _field(
        "Barcode parameter of read-item",
        "item_barcode, as documented, or barcode.",
        type=["string", "null"],
        enum=["item_barcode", "barcode", None],
        default="item_barcode",
    ),
    "requests_per_second": _field(
        "Requests per second",
        "The rate that all jobs share. Aleph counts none itself; its users wait when it is too high.",
        type=["number", "null"],
        exclusiveMinimum=0,
        default=5,
    ),
    "max_in_flight": _field(
        "Requests in flight",
        "How many requests one task may have under way at once.",
        type=["integer", "null"],
        minimum=1,
        default=4,
    ),
    "timeout": _field(
        "Timeout in seconds",
        "How long one request may take until its whole answer is there.",
        type=["number", "null"],
        exclusiveMinimum=0,
        default=30,
    ),
}
