"""Processes that work, and how often work changed hands."""

from __future__ import annotations

import sqlalchemy
from alembic import op

revision = "0001"
down_revision = None

_SCHEMA = "aspects_node"


def upgrade() -> None:
    """Make both tables."""
    now = sqlalchemy.func.now()
    op.create_table(
        "executors",
        sqlalchemy.Column("executor", sqlalchemy.Text, primary_key=True),
        sqlalchemy.Column("host", sqlalchemy.Text, nullable=False),
        sqlalchemy.Column("pid", sqlalchemy.Integer, nullable=False),
        sqlalchemy.Column("slots", sqlalchemy.Integer, nullable=False),
        sqlalchemy.Column("version", sqlalchemy.Text, nullable=False),
        sqlalchemy.Column(
            "started", sqlalchemy.DateTime(timezone=True), nullable=False, server_default=now
        ),
        sqlalchemy.Column(
            "seen", sqlalchemy.DateTime(timezone=True), nullable=False, server_default=now
        ),
        schema=_SCHEMA,
    )
    op.create_table(
        "handovers",
        sqlalchemy.Column("workflow", sqlalchemy.Text, primary_key=True),
        sqlalchemy.Column("times", sqlalchemy.Integer, nullable=False),
        sqlalchemy.Column(
            "last", sqlalchemy.DateTime(timezone=True), nullable=False, server_default=now
        ),
        schema=_SCHEMA,
    )


def downgrade() -> None:
    """Take both tables away."""
    op.drop_table("handovers", schema=_SCHEMA)
    op.drop_table("executors", schema=_SCHEMA)
