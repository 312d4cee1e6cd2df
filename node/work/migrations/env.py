"""What alembic runs: our tables alone, on the connection that it is given."""

from __future__ import annotations

from alembic import context

from node.work.database import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
