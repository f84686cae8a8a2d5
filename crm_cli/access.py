"""`crm access list|block|release`: who may use what, and the decisions of people on it.

A decision is recorded with who took it and why, and takes effect in the next round.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from crm_assets.settings import parse_day
from crm_assets.tenants import Tenant
from crm_assets.words import ACCESS_STATUSES, counted
from crm_cli.console import local, out, tell_row
from crm_cli.rights import ByOption, DryRunOption, one_of, said
from crm_cli.session import TenantOption, actor_of, fail, open_ops, tenant_of, the_customer

if TYPE_CHECKING:
    from crm_resources.warehouse import Transaction

access_app = typer.Typer(
    no_args_is_help=True, help="Acesso aos produtos: ver, bloquear, liberar uma pessoa."
)

WhoArgument = Annotated[
    str, typer.Argument(metavar="CLIENTE", help="Id, e-mail, telefone em qualquer escrita.")
]
ProductOption = Annotated[str, typer.Option(help="Id do produto.")]
ReasonOption = Annotated[str, typer.Option(help="Por que (fica registrado).")]
PRODUCTS_SHOWN = 10

LimitOption = Annotated[int, typer.Option(min=1, help="Quantas linhas mostrar.")]


@access_app.command("list")
def list_access(
    who: Annotated[
        str | None, typer.Argument(metavar="CLIENTE", help="Só desta pessoa, com a história.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help=f"Só nesta situação: {', '.join(ACCESS_STATUSES.values())}.")
    ] = None,
    product: Annotated[str | None, typer.Option(help="Só deste produto (id).")] = None,
    limit: LimitOption = 50,
    tenant: TenantOption = None,
) -> None:
    """Mostra quem pode usar cada produto, por quê e até quando; de uma pessoa, também a história.

    Exemplo: crm access list ana@example.com
    """
    from crm_assets.gold.people import customers_of, reading

    status = one_of("--status", status, ACCESS_STATUSES)
    settings, one = tenant_of(tenant)
    with reading(settings, one) as tx:
        customer_id = the_customer(customers_of(tx, who)) if who else None
        wanted = {"customer": customer_id, "status": status, "product": product}
        found = tx.read(f"FROM ({_ACCESS}) LIMIT {limit}", wanted)
        total = tx.scalar(f"SELECT count(*) FROM ({_ACCESS})", wanted)
        history = tx.read(_HISTORY, [customer_id]) if customer_id else None
    for row in found.to_dicts():
        tell_row(_line(one, row))
    out.print(f"{len(found)} de {counted(total, 'acesso')}.")
    for change in history.to_dicts() if history is not None else ():
        by = f", por {change['decided_by']}" if change["decided_by"] else ""
        before = ACCESS_STATUSES.get(change["before"], "sem acesso")
        tell_row(
            f"{local(one, change['noted_at'])} produto {change['product_id']}: {before} → "
            f"{ACCESS_STATUSES[change['status']]} ({change['reason']}{by})"
        )


@access_app.command("block")
def block(
    who: WhoArgument,
    product: ProductOption,
    reason: ReasonOption,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Suspende o acesso de uma pessoa a um produto até alguém o liberar, pague ela ou não.

    Exemplo: crm access block ana@example.com --product 1001 --reason "senha repassada"
    """
    from crm_assets.silver.access_rules import BLOCK

    _decide(BLOCK, who, product, reason, by, tenant, None, dry_run=dry_run)


@access_app.command("release")
def release(
    who: WhoArgument,
    product: ProductOption,
    reason: ReasonOption,
    until: Annotated[
        str | None, typer.Option(help="Último dia de um acesso dado sem pagamento, AAAA-MM-DD.")
    ] = None,
    by: ByOption = None,
    tenant: TenantOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Levanta um bloqueio, e a regra volta a decidir; com --until, dá acesso até aquele dia.

    Exemplo: crm access release ana@example.com --product 1001 --reason "cortesia"
    --until 2026-04-30
    """
    from crm_assets.silver.access_rules import RELEASE

    last = parse_day("--until", until)
    _decide(RELEASE, who, product, reason, by, tenant, last, dry_run=dry_run)


def _decide(
    kind: str,
    who: str,
    product: str,
    reason: str,
    by: str | None,
    tenant: str | None,
    until: date | None,
    *,
    dry_run: bool,
) -> None:
    import polars as pl

    from crm_assets.gold.people import customers_of, reading
    from crm_assets.privacy.consents import keys_of_customer
    from crm_assets.silver.access_rules import BLOCK, RELEASE, decision

    settings, one = tenant_of(tenant)
    if until is not None and until < settings.today(one.timezone):
        raise typer.BadParameter("--until não pode ser um dia que já passou.")
    with reading(settings, one) as tx:
        _refuse_unknown(tx, product)
        customer_id = the_customer(customers_of(tx, who))
        keys = keys_of_customer(tx, customer_id)
        status, decided_by = _held(tx, customer_id, product)
    if kind == BLOCK and status is None:
        fail(f"Este cliente não tem acesso ao produto {product}: não há o que bloquear.")
    ops = open_ops(settings, one)
    pending = ops.actions().filter(
        pl.col("kind").is_in([BLOCK, RELEASE]), pl.col("customer_id") == customer_id
    )
    if kind != BLOCK and until is None and decided_by is None and pending.is_empty():
        fail("Ninguém bloqueou nem liberou este acesso; para dar um, diga até quando com --until.")
    what = "suspender" if kind == BLOCK else "deixar a regra decidir"
    if until is not None:
        what = f"dar acesso até {until:%d/%m/%Y}"
    told = f"{what}: produto {product}, hoje {ACCESS_STATUSES.get(status or '', 'sem acesso')}."
    if dry_run:
        out.print(escape(f"Nada foi registrado; seria: {told}"))
        return
    action = decision(
        kind,
        customer_id=customer_id,
        product_id=product,
        email_key=next(iter(keys.emails), None),
        phone_key=next(iter(keys.phones), None),
        reason=said("--reason", reason),
        actor=actor_of(by),
        at=settings.now(),
        until=until,
    )
    ops.append_actions([action])
    out.print(escape(f"Registrado: {told}"))
    out.print("  vale a partir da próxima rodada: `uv run crm run --only actions,refine`.")


def _line(tenant: Tenant, row: dict[str, Any]) -> str:
    """An access in one line."""
    name = f"{row['product_name']} ({row['product_id']})"
    parts = [f"{row['customer_id']} {name if row['product_name'] else row['product_id']}"]
    parts.append(ACCESS_STATUSES[row["status"]])
    for name, word in (("since", "desde"), ("until", "até")):
        if row[name]:
            parts.append(f"{word} {local(tenant, row[name])}")
    if row["plan"]:
        parts.append(f"plano {row['plan']}")
    elif row["subscriber_code"]:
        parts.append("sem plano (valor da assinatura desconhecido)")
    if row["is_disputed"]:
        parts.append("em disputa")
    by = f", por {row['decided_by']}" if row["decided_by"] else ""
    return f"{', '.join(parts)}: {row['reason']}{by}"


def _refuse_unknown(tx: Transaction, product: str) -> None:
    """Refuse a product that nothing was ever heard of, with those that there are."""
    known = dict(tx.read(_PRODUCTS).rows())
    if product in known:
        return
    shown = "; ".join(f"{number} ({name})" for number, name in list(known.items())[:PRODUCTS_SHOWN])
    rest = f"; e mais {rest}" if (rest := len(known) - PRODUCTS_SHOWN) > 0 else ""
    fail(
        f"Não existe o produto {product}; existem: {shown}{rest}. `crm access list CLIENTE` mostra "
        "os de uma pessoa."
    )


def _held(tx: Transaction, customer_id: str, product: str) -> tuple[str | None, str | None]:
    """Status of an access and who decided it; both empty without one."""
    row = tx.read(_HELD, [customer_id, product])
    return row.row(0) if len(row) else (None, None)


_HELD = "SELECT status, decided_by FROM silver.access WHERE customer_id = ? AND product_id = ?"
_PRODUCTS = """
    SELECT product_id, coalesce(any_value(name), 'sem nome') FROM silver.products
    GROUP BY product_id ORDER BY max(last_sold_at) DESC NULLS LAST, product_id
"""
_ACCESS = """
    WITH names AS (
        SELECT product_id, any_value(name) AS name FROM silver.products GROUP BY product_id
    )
    SELECT access.*, names.name AS product_name
    FROM silver.access AS access
    LEFT JOIN names USING (product_id)
    WHERE coalesce(customer_id = $customer, $customer IS NULL)
      AND coalesce(status = $status, $status IS NULL)
      AND coalesce(product_id = $product, $product IS NULL)
    ORDER BY since DESC, customer_id, product_id
"""
_HISTORY = """
    SELECT log.* FROM silver.access_log AS log LEFT JOIN silver.customer_ids USING (customer_id)
    WHERE coalesce(survivor_id, customer_id) = ? ORDER BY noted_at, product_id
"""
