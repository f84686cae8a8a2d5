"""A company with something to lose, without the seconds that a round takes."""

from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
from lake import NOON
from lake import site as site_at

from crm_assets.resources import warehouse_of
from crm_assets.safekeeping.backup import back_up
from crm_assets.safekeeping.restore import restore
from crm_resources.ops import Action, InboxEvent, Load


@dataclass
class Company:
    """One company in a home of its own."""

    home: Path
    instance: dg.DagsterInstance
    passphrase: str = ""

    @property
    def site(self):
        made = site_at(home=self.home, currency="BRL")
        settings = replace(made.settings, backup_passphrase=self.passphrase)
        return replace(made, settings=settings)

    @property
    def ops(self):
        return self.site.ops_store()

    @property
    def folder(self):
        return self.site.settings.store_folder("default")

    @property
    def warehouse(self):
        return warehouse_of(self.site.settings, self.site.tenant)

    def sell(self, *transactions):
        with self.warehouse.write("teste") as tx:
            for transaction in transactions:
                tx.execute(
                    "INSERT INTO bronze.hotmart_transactions (transaction, buyer_email, slice) "
                    "VALUES (?, ?, '2026-03')",
                    [transaction, f"{transaction.lower()}@example.com"],
                )

    @property
    def sold(self):
        query = "SELECT transaction FROM bronze.hotmart_transactions ORDER BY ALL"
        return self.warehouse.read(query).to_series().to_list()

    def decide(self, *keys):
        self.ops.append_actions([Action(kind="note", idempotency_key=k, at=NOON) for k in keys])

    @property
    def decided(self):
        return self.ops.actions()["idempotency_key"].to_list()

    def post(self, *keys):
        posted = {"kind": "hotmart", "body": "{}", "received_at": NOON}
        self.ops.receive([InboxEvent(event_key=key, **posted) for key in keys])

    def receive(self, slice_key, text):
        path = self.folder / "raw" / "manychat" / f"{slice_key}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        load = Load(source="manychat", slice=slice_key, status="landed", at=NOON,
                    content_sha256=slice_key)  # fmt: skip
        self.ops.record_load(load)
        return path

    def back_up(self, **more):
        return back_up(self.site, more.pop("environ", {}), **more).path

    def restore(self, path, **more):
        return restore(self.site, path, self.instance, **more)


def mode(path):
    return oct(path.stat().st_mode & 0o777)
