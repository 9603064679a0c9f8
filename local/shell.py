"""`.local/env`: what a shell needs to work on the running stack, with `. .local/env`.

Afterwards `airflow`, `aws` and `python -m alma_etl.dcb ... "$ALMA_STORE_URL"` speak to this stack and to no other.
"""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from .stack import Addresses


def shell_environment(addresses: Addresses, airflow: Mapping[str, str]) -> str:
    """The file: one `export` a line. `airflow` is the environment of Airflow's components."""
    values = {
        **{name: value for name, value in airflow.items() if name.startswith(("AIRFLOW", "ALMA_ETL_"))},
        # Passwords apart from addresses: every user of the machine can read a command line.
        "ALMA_STORE_URL": f"postgresql+psycopg://{addresses.database_user}@{addresses.database}/alma_etl",
        "PGPASSWORD": addresses.database_password,
        "AWS_ACCESS_KEY_ID": addresses.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": addresses.s3_secret_key,
        "AWS_ENDPOINT_URL": addresses.s3,
        "AWS_DEFAULT_REGION": "us-east-1",
        "ALMA_SANDBOX_URL": addresses.sandbox,
        "ALMA_SANDBOX_KEY": addresses.sandbox_key,
        "ALMA_BORROWER_URL": addresses.borrower,
        "ALMA_BORROWER_KEY": addresses.borrower_key,
        "ALMA_UI_URL": addresses.ui,
        "ALMA_UI_USER": addresses.user,
        "ALMA_UI_PASSWORD": addresses.password,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(values.items())]
    programs = shlex.quote(str(Path(sys.executable).parent))
    path = f'case ":$PATH:" in *:{programs}:*) ;; *) export PATH={programs}:"$PATH" ;; esac'
    return "\n".join(
        ["# Written by `make up` for as long as the stack runs; holds passwords.", *lines, path, ""]
    )
