"""A pretend consortium beside the pretend Almas: FOLIO's mod-dcb, and OpenRS's dcb-service as far as others call it.

``python -m alma_sandbox.consortium`` runs it; ``serve_consortium(...)`` runs it inside a test.
"""

from alma_sandbox.consortium.app import RunningConsortium, create_app, run, serve_consortium
from alma_sandbox.consortium.world import ConsortiumSettings

__all__ = ["ConsortiumSettings", "RunningConsortium", "create_app", "run", "serve_consortium"]
