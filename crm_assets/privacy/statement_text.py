"""A statement as text, in the words of the person it is about. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

TITLES = {
    "silver.customers": "Cadastro",
    "silver.customer_lineage": "De que registro veio cada campo do cadastro",
    "silver.contact_records": "Registros que formam o cadastro",
    "silver.sales": "Compras",
    "silver.subscriptions": "Assinaturas",
    "silver.subscription_history": "Situações de cada assinatura",
    "silver.subscription_periods": "Em que dias cada assinatura valeu, e por quanto",
    "silver.access": "O que você pode usar",
    "silver.access_log": "Mudanças de acesso",
    "silver.carts": "Carrinhos que você deixou",
    "gold.triggers": "O que pede uma mensagem a você",
    "silver.contact_history": "Contatos que fizemos",
    "silver.consents": "O que você permitiu e recusou",
    "silver.opt_outs": "Recusas em vigor",
    "gold.audience_<name>": "Público",
    "gold.remarketing_batches": "Lotes de remarketing",
    "silver.customer_xref": "A que cadastro cada registro pertence, e desde quando",
    "silver.field_choices": "Que campos cada registro deu ao cadastro, em marcas",
    "silver.customer_ids": "Códigos do cadastro",
    "silver.customer_merges": "História do código",
    "silver.identity_findings": "Dúvidas sobre quem é quem",
    "gold.identity_review": "Dúvidas para alguém conferir",
    "silver.key_status": "E-mails e telefones compartilhados",
    "silver.contact_changes": "Registros que mudaram na última rodada",
    "silver.sale_records": "Compras, antes de terem dono",
    "bronze.hotmart_transactions": "Como a Hotmart enviou: vendas",
    "bronze.hotmart_customers": "Como a Hotmart enviou: compradores",
    "bronze.hotmart_commissions": "Como a Hotmart enviou: comissões",
    "bronze.hotmart_price_details": "Como a Hotmart enviou: preços",
    "bronze.hotmart_status_changes": "Mudanças de situação que observamos",
    "bronze.hotmart_subscriptions": "Como a Hotmart enviou: assinaturas",
    "bronze.hotmart_subscription_transactions": "Como a Hotmart enviou: cobranças de assinaturas",
    "silver.subscription_readings": "O que a Hotmart disse de cada assinatura, e quando",
    "silver.events": "O que a Hotmart avisou",
    "bronze.hotmart_events": "Como a Hotmart enviou: avisos",
    "bronze.hotmart_csv": "Como veio no arquivo de vendas da Hotmart",
    "bronze.manychat_contacts": "Como veio do ManyChat",
    "bronze.rejects": "O que não pôde ser lido",
}
"""Title by table, in the order of the text."""

LABELS = {
    "cart_at": "carrinho deixado em",
    "received_at": "recebido em",
    "order_at": "pedido em",
    "cancelled_at": "cancelado em",
    "switched_at": "trocado em",
    "next_charge_at": "próxima cobrança",
    "plan_name": "plano",
    "new_plan_name": "plano novo",
    "full_price_value": "valor com juros",
    "refusal_reason": "motivo da recusa",
    "trigger": "o que houve",
    "checkout_country": "país da compra",
    "subscriber_code": "código de assinante",
    "subscription_status": "situação da assinatura",
    "sale_status": "situação da compra",
    "recurrence_number": "número da cobrança",
    "events": "avisos",
    "is_estimated": "valor estimado",
    "new_charge_day": "novo dia de cobrança",
    "started_at": "começou em",
    "period_days": "dias entre cobranças",
    "paid_through": "paga até",
    "requested_cancel_at": "cancelamento pedido em",
    "trial_ends_at": "fim do teste",
    "last_paid_at": "último pagamento",
    "last_activity_at": "último acesso às aulas",
    "delayed_since": "atrasada desde",
    "from_day": "do dia",
    "to_day": "até o dia",
    "mrr_gross": "valor por mês",
    "until": "até",
    "plan": "plano",
    "before": "situação anterior",
    "decided_by": "decidido por",
    "noted_at": "anotado em",
    "customer_id": "código",
    "name": "nome",
    "first_name": "primeiro nome",
    "last_name": "sobrenome",
    "full_name": "nome completo",
    "buyer_name": "nome",
    "subscriber_name": "nome",
    "email": "e-mail",
    "buyer_email": "e-mail",
    "subscriber_email": "e-mail",
    "email_key": "e-mail que identifica",
    "email_reason": "por que o e-mail não identifica",
    "phone": "telefone",
    "buyer_phone": "telefone",
    "cellphone": "celular",
    "whatsapp_phone": "WhatsApp",
    "phone_key": "telefone que identifica",
    "phone_reason": "por que o telefone não identifica",
    "phone_kind": "tipo do telefone",
    "document": "documento",
    "buyer_document": "documento",
    "document_kind": "tipo do documento",
    "document_valid": "documento válido",
    "document_type": "tipo do documento",
    "instagram": "Instagram",
    "ig_username": "Instagram",
    "hotmart_ucode": "código na Hotmart",
    "buyer_ucode": "código na Hotmart",
    "subscriber_ucode": "código na Hotmart",
    "ucode": "código na Hotmart",
    "manychat_id": "código no ManyChat",
    "city": "cidade",
    "state": "estado",
    "state_source": "origem do estado",
    "country": "país",
    "zip_code": "CEP",
    "has_address": "tem endereço",
    "source": "fonte",
    "sources": "fontes",
    "source_id": "código na fonte",
    "record_id": "registro",
    "records": "registros",
    "audiences": "públicos",
    "segment": "segmento",
    "has_purchased": "já comprou",
    "orders": "pedidos",
    "first_seen_at": "conhecido desde",
    "first_purchase_at": "primeira compra",
    "last_purchase_at": "última compra",
    "last_refund_at": "último reembolso",
    "has_open_dispute": "tem disputa aberta",
    "last_contact_at": "último contato nosso",
    "last_interaction_at": "última mensagem sua",
    "remarketing_at": "último contato de remarketing",
    "subscribed_at": "inscrição",
    "opted_out": "pediu para não ser contatado",
    "blocked_channels": "canais recusados",
    "reachable": "pode ser contatado",
    "is_own": "cliente nosso",
    "exportable": "pode sair em arquivos",
    "optin_whatsapp": "permite WhatsApp",
    "optin_sms": "permite SMS",
    "optin_email": "permite e-mail",
    "tags": "etiquetas",
    "custom_fields": "campos próprios",
    "key_kind": "tipo da chave",
    "kind": "tipo",
    "key": "chave",
    "channel": "canal",
    "purpose": "finalidade",
    "status": "situação",
    "wording": "texto aceito",
    "evidence": "prova",
    "occurred_at": "quando",
    "at": "quando",
    "since": "desde",
    "actor": "registrado por",
    "origin": "origem",
    "reason": "motivo",
    "transaction": "transação",
    "order_id": "pedido",
    "product_name": "produto",
    "product_id": "código do produto",
    "ordered_at": "pedido em",
    "approved_at": "aprovado em",
    "paid_at": "pago em",
    "refunded_at": "reembolsado em",
    "gross": "valor pago",
    "base": "valor sem juros",
    "currency": "moeda",
    "price_value": "valor",
    "price_currency": "moeda",
    "payment_type": "forma de pagamento",
    "payment_method": "meio de pagamento",
    "installments": "parcelas",
    "ltv": "total pago",
    "batch_date": "dia do lote",
    "position": "posição",
    "day": "dia",
    "outcome": "resultado",
    "field": "campo",
    "runner_up": "em segundo lugar",
    "joined_by": "unido por",
    "valid_from": "desde",
    "valid_to": "até",
    "extracted_at": "lido em",
    "observed_at": "informado em",
    "slice": "partição",
    "line": "linha",
    "sale_id": "venda",
    "status_class": "o que a situação significa",
    "is_paid": "paga",
    "was_paid": "já foi paga",
    "is_refunded": "reembolsada",
    "is_disputed": "em disputa",
    "is_subscription": "assinatura",
    "is_new_order": "pedido novo",
    "is_purchase": "é compra",
    "is_eligible": "conta no total pago",
    "is_erased": "apagado a pedido",
    "paid_at_assumed": "data do pagamento suposta",
    "payment_mode": "modo de pagamento",
    "commission_as": "nosso papel na venda",
    "offer_code": "oferta",
    "fees": "taxas",
    "fee_total": "taxa",
    "fee_base": "base da taxa",
    "fee_currency": "moeda da taxa",
    "net": "nossa parte",
    "net_value": "nossa parte, na nossa moeda",
    "net_currency": "moeda da nossa parte",
    "net_estimated": "nossa parte estimada",
    "value": "valor",
    "base_value": "valor sem juros",
    "base_currency": "moeda do valor sem juros",
    "total_value": "total",
    "total_currency": "moeda do total",
    "interest_value": "juros",
    "conversion_rate": "taxa de conversão",
    "exchange_rate": "câmbio",
    "user_ucode": "código de quem recebe",
    "ltv_net": "nossa parte do total pago",
    "counts": "conta como contato",
    "contact_id": "contato",
    "strategy": "o que decidiu",
    "runner_up_source": "fonte do segundo lugar",
    "place": "lugar",
    "anchor": "criado para o registro",
    "minted_at": "criado em",
    "survivor_id": "responde hoje por ele",
    "event": "o que houve",
    "locale": "idioma e país",
    "timezone": "fuso horário",
    "scheduled": "agendamento",
    "scheduled_at": "agendado para",
    "contact_flag": "contactar",
    "contact_at": "contactar em",
    "tipo": "tipo",
    "em": "quando",
    "por": "feito por",
    "motivo": "motivo",
    "pedido": "pedido",
    "recebido_em": "recebido em",
    "prazo": "prazo",
    "identidade_conferida_em": "identidade conferida em",
    "encerrado_em": "encerrado em",
    "resultado": "resultado",
    "observacao": "observação",
    "fonte": "fonte",
    "arquivo": "arquivo",
    "tem_copia": "ainda temos a cópia",
    "destino": "destino",
    "criterio": "critério",
    "ainda_existe": "o arquivo ainda existe",
    "copias_de_leitura": "cópias de leitura",
    "copias_de_seguranca": "cópias de segurança",
}
"""Column by name; one that is not here is shown by its own."""

TECHNICAL = {"raw", "run_id", "source_key", "value_hash", "key_hash", "action_id"}
"""Columns that say nothing to a person, or the same again; JSON has them."""

_WORDS = {
    "granted": "permitido",
    "revoked": "recusado",
    "opt_out": "pedido para não ser contatado",
    "consent": "consentimento",
    "batch_selected": "escolha para o lote do dia",
    "batch_delivered": "contato pelo lote do dia",
    "identity_together": "registros que são da mesma pessoa",
    "identity_apart": "registros que não são da mesma pessoa",
    "identity_key_blocked": "e-mail ou telefone que não une ninguém",
    "identity_pin": "valor fixado por pessoa",
    "steward_undo": "decisão desfeita",
    "customer_erased": "dados apagados",
    "customer_readmitted": "volta de quem foi apagado",
    "access_block": "acesso bloqueado por pessoa",
    "access_release": "acesso liberado por pessoa",
    "subscription_cancel_requested": "cancelamento de assinatura pedido",
    "subscription_reactivate_requested": "reativação de assinatura pedida",
}


def as_text(told: Mapping[str, Any]) -> str:
    """A statement for whoever does not read JSON."""
    head = told["titular"]
    lines = [
        f"{head['empresa']}: tudo o que temos sobre você",
        f"Gerado em {_shown(head['gerado_em'])}. Código: {head['customer_id']}.",
        "A versão JSON deste extrato traz ainda o conteúdo bruto que cada fonte enviou.",
    ]
    if not head["cadastro_inteiro"]:
        lines.append(
            "O cadastro une registros que só têm o telefone em comum; aqui estão apenas os que "
            "são seus."
        )
    sections = {
        **{_title(name): rows for name, rows in told["dados"].items()},
        "Pedidos seus (LGPD)": told["pedidos"],
        "O que foi registrado sobre você": told["acoes"],
        "Decisões sobre o seu cadastro": told["decisoes"],
        "Arquivos em que você veio": told["arquivos_recebidos"],
        "Arquivos em que você saiu, e para onde": told["arquivos_gerados"],
        "Cópias da base em que você também está": [told["copias"]],
    }
    for title, rows in sections.items():
        lines += ["", title.upper(), *(_row_lines(rows, head["customer_id"]) or ["  nada"])]
    return "".join(f"{line}\n" for line in lines)


def masked(text: str | None) -> str | None:
    """A name, e-mail or phone by which its owner knows it and nobody else finds out."""
    if text is None:
        return None
    if "@" in text:
        local, _, domain = text.partition("@")
        return f"{local[:1]}***@{domain[:1]}***"
    if text.startswith("+"):
        return f"{text[:3]}{'*' * (len(text) - 5)}{text[-2:]}"
    return " ".join(f"{word[:1]}***" for word in text.split())


def _title(table: str) -> str:
    family, _, name = table.partition("audience_")
    return f"{TITLES['gold.audience_<name>']} {name}" if name else TITLES[family]


def _row_lines(rows: Sequence[Mapping[str, Any]], owner: str) -> list[str]:
    """Rows as lines; the person's own code stands at the top and is not repeated."""
    lines = []
    for row in rows:
        told = [
            f"{LABELS.get(name, name)}: {_shown(value)}"
            for name, value in row.items()
            if name not in TECHNICAL and value not in (None, "", [], {}, owner)
        ]
        lines += [f"  - {told[0]}", *(f"    {one}" for one in told[1:])] if told else []
    return lines


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "sim" if value else "não"
        case list():
            return ", ".join(map(_shown, value))
        case dict():
            return "; ".join(f"{name}: {_shown(inner)}" for name, inner in value.items())
        case str():
            return _WORDS.get(value) or _day(value) or value
        case _:
            return str(value)


def _day(text: str) -> str | None:
    """A date or instant as Brazilians write it; None for any other text."""
    try:
        if len(text) == 10:
            return f"{date.fromisoformat(text):%d/%m/%Y}"
        if len(text) == 25 and text[10] == "T":
            return f"{datetime.fromisoformat(text):%d/%m/%Y %H:%M}"
    except ValueError:
        pass
    return None
