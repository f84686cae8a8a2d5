"""The Hotmart account as a Dagster resource: secrets are named in the graph, never held."""

import dagster as dg

from crm_resources.hotmart.client import HotmartClient, HotmartCredentials


class MissingSetting(ValueError):
    """An environment variable that a source needs is not set; the message names it."""


class HotmartResource(dg.ConfigurableResource["HotmartClient"]):
    """Makes clients of one account.

    Secrets are named, not held: run config, the UI and the event log never see a value.
    """

    client_id_env: str
    client_secret_env: str
    basic_token_env: str
    api_url: str
    auth_url: str
    calls_per_minute: int = 500

    def client(self) -> HotmartClient:
        """A client with the credentials of this moment.

        Raises:
            MissingSetting: a credential is missing; nothing was called.
        """
        basic_token = dg.EnvVar(self.basic_token_env).get_value()
        values = {
            name: dg.EnvVar(name).get_value()
            for name in (self.client_id_env, self.client_secret_env)
        }
        missing = [name for name, value in values.items() if not value]
        if missing:
            raise MissingSetting(f"Falta {' e '.join(missing)} no ambiente ou no .env.")
        client_id, client_secret = values.values()
        credentials = HotmartCredentials(client_id or "", client_secret or "", basic_token or None)
        return HotmartClient(
            credentials, self.api_url, self.auth_url, calls_per_minute=self.calls_per_minute
        )
