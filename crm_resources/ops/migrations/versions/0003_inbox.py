"""What is posted to us, and who was refused."""

import sqlalchemy as sa
from alembic import op

from crm_resources.ops.tables import Id, Instant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the inbox and the counter of refusals."""
    op.create_table(
        "inbox",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("event_key", sa.String, nullable=False),
        sa.Column("event", sa.String),
        sa.Column("version", sa.String),
        sa.Column("content_type", sa.String),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("event_at", Instant),
        sa.Column("received_at", Instant, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", Instant),
        sa.Column("processed_at", Instant),
        sa.Column("error", sa.Text),
        sa.CheckConstraint(
            "state IN ('pending', 'processed', 'ignored', 'failed', 'dead')",
            name="ck_inbox_state",
        ),
        sa.UniqueConstraint("tenant", "kind", "event_key", name="uq_inbox_event_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_inbox_state", "inbox", ["tenant", "kind", "state", "id"])
    op.create_table(
        "refusals",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("first_at", Instant, nullable=False),
        sa.Column("last_at", Instant, nullable=False),
        sa.UniqueConstraint("tenant", "kind", "address", name="uq_refusals_address"),
        sqlite_autoincrement=True,
    )
