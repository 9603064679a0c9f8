"""A pretend Ex Libris Alma on localhost, for tests and demonstrations of Alma clients.

``python -m alma_sandbox`` runs it; ``alma_sandbox.serve(...)`` runs it inside a test; README.md describes the rest.
"""

from alma_sandbox.app import Running, create_app, serve
from alma_sandbox.gateway.faults import FaultRule
from alma_sandbox.settings import Settings

__all__ = ["FaultRule", "Running", "Settings", "create_app", "serve"]
