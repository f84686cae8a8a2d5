"""Files for people and tools, made from the serving snapshot (rules 4.8). No Dagster here.

People who asked to be left alone are dropped from every file, also when they asked after the
snapshot was published; how many is told. Who refused one channel stands there without the address
of that channel (rules 3.3). Every file of people is in the register of exports before it appears
(rules 7.3). Whoever stands in a written file of today's batch has been delivered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import polars as pl

from crm_assets.contact.channels import CHANNELS
from crm_assets.gold.formats import Format, usable, write_people
from crm_assets.gold.snapshot import NothingPublished, has_table, newer_actions, open_snapshot
from crm_assets.gold.summary import report
from crm_assets.settings import Settings
from crm_assets.slices import zone
from crm_assets.tenants import Tenant
from crm_resources.ops import Action, ExportRecord, OpsStore
from crm_resources.serving import put


@dataclass(frozen=True)
class Export:
    """A file that was asked for.

    Attributes:
        path: where it is, or would be; None when there was nobody to list, and no file was made.
        customer_ids: who is in it.
        excluded: people left out because they asked to be, were skipped, or are not ours.
        lacking: people left out because they have nothing that the flavour lists.
    """

    path: Path | None
    customer_ids: tuple[str, ...] = field(repr=False)
    excluded: int
    lacking: int

    @property
    def rows(self) -> int:
        """People in it."""
        return len(self.customer_ids)


@dataclass(frozen=True)
class Exporter:
    """Makes files of one tenant.

    Attributes:
        settings: where they go, and the clock.
        tenant: whose people.
        ops: the action log and the register of exports.
        flavour: what they look like.
        actor: who asked, as the register keeps it.
        dry_run: tell what would be made; nothing is written, recorded or delivered.
    """

    settings: Settings
    tenant: Tenant
    ops: OpsStore
    flavour: Format = Format.CSV
    actor: str = "crm"
    dry_run: bool = False

    def audience(self, slug: str) -> Export:
        """`publico_<label>_<day>.csv`: members with value above zero, highest first."""
        members = self._read(_MEMBERS.format(slug=slug), audience=slug)
        label = self.tenant.audiences[slug].public_label
        return self._make(
            "publico",
            f"publico_{label}_{self._today()}",
            members,
            members.filter("exportable", "askable"),
            ("name", "email", "phone", "country", "state", "value"),
            {"audience": slug},
            f"Compradores do público {label} e o total que pagaram em {self.tenant.currency}, "
            "sem reembolsos; do maior valor para o menor.",
        )

    def remarketing(self, day: date) -> Export:
        """`remarketing_<day>.csv`; the people in today's are thereby delivered.

        Without anybody there is no file and no delivery.
        """
        batch = self._read(_BATCH, {"day": day})
        reached = batch.filter(
            pl.col("status").is_in(["selecionado", "entregue"]),
            ~pl.col("blocked_channels").list.contains("whatsapp"),
        )
        export = self._make(
            "remarketing",
            f"remarketing_{day}",
            batch,
            reached.with_columns(
                pl.col("last_contact_at").dt.date().alias("last_remarketing_at"),
                pl.col("last_purchase_at").dt.date(),
                self._segment(),
            ),
            ("email", "phone", "last_remarketing_at", "last_purchase_at", "name", "segmento"),
            {"batch_date": day.isoformat()},
            f"Lote de remarketing de {day:%d/%m/%Y}, na ordem da seleção.",
        )
        if export.path and day == self._today() and not self.dry_run:
            self._deliver(day, export.customer_ids)
        return export

    def customers(self) -> Export:
        """`clientes_<day>.csv`: the whole master but for other producers' buyers (rules 1.11)."""
        everyone = self._read(_CUSTOMERS)
        ours = everyone.filter("is_own", "askable")
        days = ("first_seen_at", "last_purchase_at", "last_contact_at")
        return self._make(
            "clientes",
            f"clientes_{self._today()}",
            everyone,
            ours.with_columns(
                pl.col(days).dt.date(),
                pl.col("sources").list.join(" + "),
                self._segment(),
            ),
            ("name", "email", "phone", "instagram", "city", "state", "country", "sources",
             "segmento", "orders", *days),
            {"is_own": "true"},
            "Cadastro de clientes: uma linha por pessoa, de todas as fontes.",
        )  # fmt: skip

    def at_risk(self) -> Export:
        """`em_risco_<day>.csv`: who is late, or cancelled and still paid for (rules 6.3).

        Whoever is late and was not seen for a month comes first, then who has been late longest.
        """
        people = self._read(_AT_RISK)
        return self._make(
            "em_risco",
            f"em_risco_{self._today()}",
            people,
            people.filter("askable"),
            ("name", "email", "phone", "produtos", "situacao", "atrasado_desde", "pago_ate",
             "ultima_atividade"),
            {"is_at_risk": "true"},
            "Assinantes em risco: com pagamento atrasado, ou cancelados com acesso ainda pago.",
        )  # fmt: skip

    def _today(self) -> date:
        return self.settings.today(self.tenant.timezone)

    def _read(
        self, sql: str, params: Mapping[str, object] | None = None, audience: str | None = None
    ) -> pl.DataFrame:
        """Rows of the snapshot with what was refused up to now, on which channels.

        An address whose channel was refused is empty; `askable` are those with a channel left.
        """
        with open_snapshot(self.settings, self.tenant) as con:
            if audience and not has_table(con, f"gold.audience_{audience}"):
                raise NothingPublished(
                    f"O público {audience} ainda não foi calculado: rode `uv run crm run`."
                )
            people, newly = con.sql(sql, params=params).pl(), _newly_blocked(con, self.ops)
        blocked = pl.concat_list(
            pl.col(name).fill_null([]) for name in ("blocked_channels", "newly_blocked")
        ).list.unique()
        return people.join(newly, on="customer_id", how="left", maintain_order="left").with_columns(
            blocked.alias("blocked_channels"),
            *(
                pl.when(~blocked.list.contains(channel)).then(address).alias(address)
                for address, channel in (("email", "email"), ("phone", "whatsapp"))
            ),
            askable=blocked.list.len() < len(CHANNELS),
        )

    def _segment(self) -> pl.Expr:
        """Audiences as they may leave the house: by public label (rules 2.8, 4.1)."""
        labels = {slug: audience.public_label for slug, audience in self.tenant.audiences.items()}
        shown = pl.col("audiences").list.eval(pl.element().replace(labels)).list.join(" + ")
        both = pl.col("segment") == "AMBOS"
        return pl.when(both).then("segment").otherwise(shown).alias("segmento")

    def _make(
        self,
        kind: str,
        stem: str,
        everyone: pl.DataFrame,
        people: pl.DataFrame,
        columns: Sequence[str],
        filters: Mapping[str, str],
        definition: str,
    ) -> Export:
        """Write, record and show a list; nobody to list leaves no file.

        Args:
            kind: folder of the file, and what it is called in the register.
            stem: its name without the flavour's ending.
            everyone: who was asked for.
            people: those of them who may be listed.
            columns: what spreadsheets show.
            filters: how `everyone` was chosen.
            definition: the same for whoever opens the file.
        """
        listed = usable(people, self.flavour)
        folder = self.settings.output_folder(self.tenant.slug)
        path = folder / kind / f"{stem}{self.flavour.ending}"
        export = Export(
            path if len(listed) else None,
            tuple(listed["customer_id"]),
            excluded=len(everyone) - len(people),
            lacking=len(people) - len(listed),
        )
        if self.dry_run:
            return export
        if export.path is None:
            path.unlink(missing_ok=True)
            return export
        now = self.settings.now()
        about = {
            "o que é": definition,
            "gerado em": f"{now.astimezone(zone(self.tenant)):%d/%m/%Y %H:%M}",
            "pessoas": str(export.rows),
            "fora (pediram para sair, pulados ou de outro produtor)": str(export.excluded),
        }
        with appearing(path) as draft:
            write_people(listed, columns, draft, self.flavour, about)
            self.ops.record_export(
                ExportRecord(
                    kind=kind,
                    destination=path.relative_to(folder).as_posix(),
                    filter=filters,
                    customer_ids=export.customer_ids,
                    actor=self.actor,
                    at=now,
                )
            )
        return export

    def _deliver(self, day: date, customer_ids: Sequence[str]) -> None:
        self.ops.append_actions(
            [
                Action(
                    kind="batch_delivered",
                    idempotency_key=f"batch_delivered:{day}:{customer_id}",
                    customer_id=customer_id,
                    day=day,
                    actor=self.actor,
                    at=self.settings.now(),
                )
                for customer_id in customer_ids
            ]
        )


def write_report(settings: Settings, tenant: Tenant) -> Path:
    """Write `relatorio_geral_<day>.txt`, the report of today's load; nobody is named in it."""
    name = f"relatorio_geral_{settings.today(tenant.timezone)}.txt"
    path = settings.output_folder(tenant.slug) / "relatorio" / name
    lines = [f"{tenant.name} ({settings.environment})", *report(settings, tenant)]
    with appearing(path) as draft:
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A draft that becomes the file when the block ends well, private to its owner throughout."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.tmp")
    try:
        draft.touch(mode=0o600)
        yield draft
        put(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _newly_blocked(con: duckdb.DuckDBPyConnection, ops: OpsStore) -> pl.DataFrame:
    """Customers, and the channels that they refused after the snapshot was published."""
    asked = (
        newer_actions(con, ops)
        .filter(pl.col("kind") == "opt_out")
        .unpivot(["email_key", "phone_key"], index="channel", value_name="key")
        .drop_nulls("key")
        .with_columns(pl.col("channel").fill_null(" ".join(CHANNELS)).str.split(" "))
    )
    held = con.sql(_HOLDERS, params={"keys": asked["key"].to_list()}).pl()
    blocked = held.join(asked, on="key").explode("channel").group_by("customer_id")
    return blocked.agg(pl.col("channel").alias("newly_blocked"))


_HOLDERS = """
    SELECT customer_id, key FROM silver.customer_keys
    WHERE key IN (SELECT unnest($keys::VARCHAR[]))
    UNION
    SELECT customer_id, phone FROM silver.customers
    WHERE phone IN (SELECT unnest($keys::VARCHAR[]))
"""
_MEMBERS = """
    SELECT members.*, ltv AS value, customers.city, blocked_channels
    FROM gold.audience_{slug} AS members
    LEFT JOIN silver.customers AS customers USING (customer_id)
    WHERE ltv > 0 ORDER BY ltv DESC, customer_id
"""
_BATCH = """
    SELECT batches.*, segment, country, state, city, blocked_channels
    FROM gold.remarketing_batches AS batches
    LEFT JOIN silver.customers AS customers USING (customer_id)
    WHERE batch_date = $day ORDER BY position
"""
_AT_RISK = """
    SELECT customers.*,
           string_agg(DISTINCT coalesce(subscriptions.product_name, product_id), ', '
                      ORDER BY coalesce(subscriptions.product_name, product_id)) AS produtos,
           CASE WHEN bool_or(is_at_risk_inactive) THEN 'atrasado e ausente'
                WHEN bool_or(status = 'DELAYED') THEN 'atrasado'
                ELSE 'cancelado, ainda pago' END AS situacao,
           min(delayed_since) AS atrasado_desde, min(paid_through) AS pago_ate,
           max(last_activity_at)::DATE AS ultima_atividade
    FROM silver.subscriptions AS subscriptions
    JOIN silver.customers AS customers USING (customer_id)
    WHERE is_at_risk AND customers.is_own
    GROUP BY ALL
    ORDER BY bool_or(is_at_risk_inactive) DESC, atrasado_desde NULLS LAST, customer_id
"""
_CUSTOMERS = "FROM silver.customers ORDER BY name NULLS LAST, customer_id"
