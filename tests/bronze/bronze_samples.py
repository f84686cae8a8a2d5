"""An in-memory bronze layer, an input folder, and invented records for them."""

from dataclasses import replace
from datetime import UTC, datetime

from crm_assets.bronze.hotmart import LANDINGS, land
from crm_assets.settings import Settings
from crm_assets.slices import zone
from crm_assets.tenants import build_tenant_model
from crm_resources.hotmart import month_window
from crm_resources.ops import Load, OpsStore
from crm_resources.warehouse import Transaction

HISTORY, USERS, COMMISSIONS, PRICES, CHARGES, SUBSCRIPTIONS = LANDINGS
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


class Bronze:
    """The bronze tables of one tenant in memory, and what lands in them."""

    def __init__(self, connection):
        self.connection = connection
        self.tx = Transaction(connection)
        self.runs = 0

    def land(self, *items, landing=HISTORY, month="2026-02-01", window=None, at=NOW, partial=False):
        self.runs += 1
        tenant = build_tenant_model("default", {}, {})
        whole = month_window(datetime.fromisoformat(month).date(), zone(tenant))
        start, end = window or (whole.start, whole.end)
        load = Load(
            source=landing.source,
            slice=month,
            window_start=start,
            window_end=end,
            status="landed",
            complete=window is None,
            verified=True,
            run_id=f"run {self.runs}",
            at=at,
        )
        self.connection.execute("BEGIN")
        try:
            done, self.gone, _ = land(self.tx, landing, list(items), load, partial=partial)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return done

    def rows(self, sql):
        return self.connection.execute(sql).fetchall()


def sale(transaction, ordered="2026-02-10T12:00:00-03:00", status="APPROVED", **purchase):
    """An item of sales/history."""
    if ordered is not None:
        purchase["order_date"] = int(datetime.fromisoformat(ordered).timestamp() * 1000)
    return {
        "product": {"id": 1, "name": "Curso"},
        "buyer": {"name": "Ana Invento", "email": "ana@example.com"},
        "purchase": {"transaction": transaction, "status": status, **purchase},
    }


def participant(transaction, name="Ana Invento"):
    """An item of sales/users."""
    return {"transaction": transaction, "users": [{"role": "BUYER", "user": {"name": name}}]}


class Inbox:
    """An installation's input folder and its operations store."""

    def __init__(self, home, environment="prd"):
        self.settings = Settings.from_environ(
            {"CRM_HOME": str(home), "ENVIRONMENT": environment, "CRM_NOW": NOW.isoformat()}
        )
        self.tenant = build_tenant_model("default", {}, {})
        self.ops = OpsStore(self.settings.store_folder("default") / "ops.sqlite", "default")
        self.folder = self.settings.input_folder("default", "manychat")
        self.folder.mkdir(parents=True)

    def drop(self, name, content="email\nana@example.com\n"):
        path = self.folder / name
        path.write_text(content)
        return path

    def settle(self, slice_key, status, reason=None):
        (load,) = [load for load in self.ops.loads("manychat") if load.slice == slice_key]
        self.ops.record_load(replace(load, status=status, reason=reason))
        return load

    @property
    def archived(self):
        folder = self.settings.store_folder("default") / "archive" / "manychat"
        return sorted(path.name for path in folder.glob("*"))
