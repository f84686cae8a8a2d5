"""The operations store as a Dagster resource; the only module of the store that imports Dagster."""

from dagster import ConfigurableResource
from pydantic import Field

from crm_resources.ops.store import OpsStore


class OpsResource(ConfigurableResource[OpsStore]):
    """Where the operations store of one tenant is."""

    url: str = Field(description="Path of the SQLite file, or an SQLAlchemy address", repr=False)
    tenant: str = Field(description="Tenant whose rows are seen, as the store names it")

    def store(self) -> OpsStore:
        """Open the store, upgraded to this program's version."""
        return OpsStore(self.url, self.tenant)
