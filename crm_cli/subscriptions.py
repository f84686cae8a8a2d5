"""`crm subscriptions`: what Hotmart's subscribers have, and what is asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_assets.words import SEGMENTS, SUBSCRIPTION_STATUSES, counted
from crm_cli.console import local, out, tell_row
from crm_cli.rights import one_of
from crm_cli.session import TenantOption, open_ops, tenant_of, the_customer
from crm_cli.subscription_actions import cancel, reactivate, requests

if TYPE_CHECKING:
    from crm_assets.outbound.subscription_actions import Waiting

RUNNING = {"ACTIVE", "DELAYED", "STARTED"}
"""A subscription in one of these states is not waited for."""

subscriptions_app = typer.Typer(
    no_args_is_help=True,
    help="Assinaturas da Hotmart: ver, cancelar, reativar, pedidos em aberto.",
)


@subscriptions_app.command("list")
def list_subscriptions(
    who: Annotated[
        str | None, typer.Argument(metavar="CLIENTE", help="Só as desta pessoa, com a história.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Só nesta situação: ativa, atrasada, inativa, …")
    ] = None,
    segment: Annotated[
        str | None, typer.Option(help=f"Só deste segmento: {', '.join(SEGMENTS.values())}.")
    ] = None,
    product: Annotated[str | None, typer.Option(help="Só deste produto (id).")] = None,
    at_risk: Annotated[
        bool, typer.Option("--at-risk", help="Só as atrasadas e as canceladas ainda pagas.")
    ] = False,
    archived: Annotated[
        bool, typer.Option("--archived", help="Também as canceladas há mais de um ano.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Quantas linhas mostrar.")] = 50,
    tenant: TenantOption = None,
) -> None:
    """Mostra as assinaturas, da data de próxima cobrança mais antiga para a mais distante.

    As que já passaram da data vêm primeiro, as sem data por último; com --limit ficam as primeiras.

    Exemplo: crm subscriptions list --at-risk
    """
    from crm_assets.gold.people import customers_of, reading
    from crm_assets.outbound.subscription_actions import waiting

    status = one_of("--status", status, SUBSCRIPTION_STATUSES)
    segment = one_of("--segment", segment, SEGMENTS)
    settings, one = tenant_of(tenant)
    with reading(settings, one) as tx:
        customer_id = the_customer(customers_of(tx, who)) if who else None
        wanted = {
            "customer": customer_id,
            "status": status,
            "segment": segment,
            "product": product,
            "at_risk": at_risk,
            "archived": archived or customer_id is not None,
        }
        found = tx.read(f"FROM ({_SUBSCRIPTIONS}) LIMIT {limit}", wanted)
        total = tx.scalar(f"SELECT count(*) FROM ({_SUBSCRIPTIONS})", wanted)
        history = tx.read(_HISTORY, [customer_id]) if customer_id else None
    pending = waiting(open_ops(settings, one).actions(), settings.now())
    for row in found.to_dicts():
        plan = row["plan_name"] or "plano desconhecido"
        until = f", paga até {row['paid_through']:%d/%m/%Y}" if row["paid_through"] else ""
        tell_row(
            f"{row['subscriber_code']} {row['customer_id'] or 'sem cliente'} "
            f"{row['product_name'] or row['product_id']}, {plan}: {_status(row['status'])}, "
            f"segmento {SEGMENTS[row['segment']]}{until}{_uncounted(row)}{_asked(row, pending)}"
        )
    out.print(f"{len(found)} de {counted(total, 'assinatura')}.")
    for change in history.to_dicts() if history is not None else ():
        since = local(one, change["valid_from"])
        told = f"{_status(change['status'])} ({change['reason']})"
        tell_row(f"{since} {change['subscriber_code']}: {told}")


def _status(status: str | None) -> str:
    return SUBSCRIPTION_STATUSES.get(status or "", status or "situação desconhecida")


def _uncounted(row: Mapping[str, Any]) -> str:
    """Why a subscription adds nothing to the recurring revenue of the house, when it does not."""
    if row["is_unpriced"]:
        return "; sem preço conhecido, fora do MRR"
    return "; moeda sem câmbio conhecido, fora do MRR" if row["is_unconverted"] else ""


def _asked(row: Mapping[str, Any], pending: Mapping[str, Waiting]) -> str:
    """What is to be said of a reactivation that its subscriber has not accepted."""
    waits = row["subscriber_code"] in pending and row["status"] not in RUNNING
    return "; reativação pedida, aguarda o assinante" if waits else ""


_SUBSCRIPTIONS = """
    WITH running AS (
        SELECT * FROM silver.subscription_periods WHERE to_day IS NULL AND state <> 'trial'
    )
    SELECT *, subscriber_code IN (
        SELECT subscriber_code FROM running WHERE mrr_gross IS NULL
    ) AS is_unpriced, subscriber_code IN (
        SELECT subscriber_code FROM running WHERE mrr_gross > 0 AND mrr_gross_home IS NULL
    ) AS is_unconverted
    FROM silver.subscriptions
    WHERE coalesce(customer_id = $customer, $customer IS NULL)
      AND coalesce(starts_with(status, $status), $status IS NULL)
      AND coalesce(segment = $segment, $segment IS NULL)
      AND coalesce(product_id = $product, $product IS NULL)
      AND (is_at_risk OR NOT $at_risk) AND ($archived OR NOT is_archived)
    ORDER BY next_charge_at NULLS LAST, subscriber_code
"""
_HISTORY = """
    SELECT history.subscriber_code, valid_from, history.status, reason
    FROM silver.subscription_history AS history
    JOIN silver.subscriptions USING (subscriber_code)
    WHERE customer_id = ? ORDER BY valid_from, history.subscriber_code
"""

subscriptions_app.command()(cancel)
subscriptions_app.command()(reactivate)
subscriptions_app.command()(requests)
