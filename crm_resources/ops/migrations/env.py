"""Alembic's environment: migrations run inside the transaction the store has opened."""

from alembic import context

from crm_resources.ops.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
