"""Alembic's migrations of the state store; `alma_etl.store.upgrade` runs them."""
