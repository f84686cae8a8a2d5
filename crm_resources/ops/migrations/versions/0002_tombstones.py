"""Who was erased, as opaque tags."""

import sqlalchemy as sa
from alembic import op

from crm_resources.ops.tables import Id, Instant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table of tombstones."""
    op.create_table(
        "tombstones",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("tag", sa.String, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.UniqueConstraint("tenant", "tag", name="uq_tombstones_tag"),
        sqlite_autoincrement=True,
    )
