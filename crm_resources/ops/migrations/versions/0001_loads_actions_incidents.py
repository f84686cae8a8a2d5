"""Loads, actions, incidents and their deliveries."""

import sqlalchemy as sa
from alembic import op

from crm_resources.ops.tables import Id, Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "loads",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("slice", sa.String, nullable=False),
        sa.Column("content_sha256", sa.String),
        sa.Column("file_name", sa.String),
        sa.Column("window_start", Instant),
        sa.Column("window_end", Instant),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("rejected", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("run_id", sa.String),
        sa.Column("at", Instant, nullable=False),
        sa.CheckConstraint(
            "status IN ('received', 'landed', 'refused', 'undone')", name="ck_loads_status"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_loads_slice", "loads", ["tenant", "source", "slice", "id"])
    op.create_index("ix_loads_content", "loads", ["tenant", "source", "content_sha256"])
    op.create_table(
        "actions",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("idempotency_key", sa.String, nullable=False),
        sa.Column("customer_id", sa.String),
        sa.Column("day", sa.Date),
        sa.Column("email_key", sa.String),
        sa.Column("phone_key", sa.String),
        sa.Column("channel", sa.String),
        sa.Column("purpose", sa.String),
        sa.Column("payload", sa.JSON),
        sa.Column("actor", sa.String),
        sa.Column("reason", sa.Text),
        sa.Column("at", Instant, nullable=False),
        sa.UniqueConstraint("tenant", "idempotency_key", name="uq_actions_idempotency_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_actions_id", "actions", ["tenant", "id"])
    op.create_table(
        "incidents",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("opened_at", Instant, nullable=False),
        sa.Column("closed_at", Instant),
        sa.Column("revision", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["tenant", "kind", "subject"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("incident_id", Id, nullable=False),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("told", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", Instant),
        sa.Column("reason", sa.Text),
        sa.UniqueConstraint("tenant", "incident_id", "channel", name="uq_deliveries_channel"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "exports",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("filter", sa.JSON, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("customer_ids", sa.JSON, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sqlite_autoincrement=True,
    )
