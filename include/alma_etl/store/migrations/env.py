"""What Alembic runs: always on the connection that `alma_etl.store.upgrade` (or a test) hands over."""

from alembic import context

from alma_etl.store import dcb_models as _dcb_models  # noqa: F401 - its tables register themselves
from alma_etl.store import ledger_models as _ledger_models  # noqa: F401
from alma_etl.store.models import Base
from alma_etl.store.upgrade import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
