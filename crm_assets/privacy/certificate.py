"""The proof of an erasure: what went from where, what stays and why, and whom to tell.

Nothing in it is personal, so that it can be kept and shown. It is written for people and, with the
same content, as JSON. No Dagster here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from crm_assets.bronze.receiving import write_private
from crm_assets.privacy.erased_files import CERTIFICATES
from crm_assets.settings import Settings
from crm_assets.slices import zone
from crm_assets.tenants import Tenant
from crm_assets.words import counted

_STAYS = (
    "Vendas: código da transação, datas, produto, status e valores, sem o comprador (obrigação "
    "fiscal; LGPD, art. 16, I).",
    "Lotes de remarketing já escolhidos: a posição e o que foi feito dela, sem nome, e-mail nem "
    "telefone.",
    "O registro de arquivos gerados e de decisões, com um número sorteado no lugar da pessoa.",
)
_SHARED = (
    "Um e-mail, telefone ou documento que também é de outra pessoa do cadastro ficou com ela; os "
    "registros de quem pediu não voltam por ele."
)
_POSTGRES = (
    "No PostgreSQL (CRM_OPS_URL) as linhas foram alteradas; o servidor libera o espaço antigo "
    "sozinho (autovacuum), e as cópias de segurança dele são de quem o administra."
)
_OUTSIDE = (
    "Cópias feitas fora desta plataforma, como as de um serviço de backup da máquina, não são "
    "alcançadas: valem até vencerem, e a pessoa é apagada de novo quando uma delas volta."
)
_VENDORS = {
    "hotmart": "A Hotmart guarda os dados da compra como controladora: a pessoa pede a ela.",
    "manychat": "O ManyChat não apaga contatos pela API: apague o contato na tela dele.",
}


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What is told of an erasure.

    Attributes:
        number: which erasure.
        actor: who did it.
        reason: why.
        began_at: when it began.
        ended_at: when it ended.
        people: how many.
        records: records that were theirs.
        tombstones: identifiers that cannot come back.
        shared: whether an identifier stayed with somebody else.
        found: rows, lines or files that went, by place.
        left: where the person was still found afterwards.
        destinations: files that listed the person: list, file, when, who.
        sources: where the records came from.
        postgres: whether the operations store is a server.
        copies: backups in which they still are: file, and until when.
        requests: numbers of the requests that it answers.
    """

    number: str
    actor: str
    reason: str
    began_at: datetime
    ended_at: datetime
    people: int
    records: int
    tombstones: int
    shared: bool
    found: Mapping[str, int]
    left: Mapping[str, int]
    destinations: Sequence[Mapping[str, str]]
    sources: Sequence[str]
    postgres: bool
    copies: Sequence[Mapping[str, str]] = ()
    requests: Sequence[int] = ()

    def content(self, settings: Settings, tenant: Tenant) -> dict[str, Any]:
        """The certificate as JSON."""
        clock = zone(tenant)
        return {
            "apagamento": self.number,
            "empresa": tenant.name,
            "ambiente": str(settings.environment),
            "inicio": self.began_at.astimezone(clock).isoformat(timespec="seconds"),
            "fim": self.ended_at.astimezone(clock).isoformat(timespec="seconds"),
            "por": self.actor,
            "motivo": self.reason,
            "pedidos": list(self.requests),
            "pessoas": self.people,
            "registros": self.records,
            "apagado": dict(self.found),
            "marcas_contra_a_volta": self.tombstones,
            "permanece": [
                *_STAYS,
                *([_SHARED] if self.shared else []),
                *([_POSTGRES] if self.postgres else []),
                _OUTSIDE,
            ],
            "copias_de_seguranca": [dict(copy) for copy in self.copies],
            "destinos_a_avisar": [dict(destination) for destination in self.destinations],
            "fontes": [_VENDORS[source] for source in self.sources if source in _VENDORS],
            "conferencia": {"sobrou": dict(self.left)},
        }


def write_certificate(settings: Settings, tenant: Tenant, certificate: Certificate) -> Path:
    """Write both forms and return the readable one; the same erasure writes the same files."""
    content = certificate.content(settings, tenant)
    day = certificate.began_at.astimezone(zone(tenant)).date()
    folder = settings.output_folder(tenant.slug) / CERTIFICATES
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"apagamento_{day}_{certificate.number}.txt"
    told = json.dumps(content, ensure_ascii=False, indent=2)
    write_private(path.with_suffix(".json"), f"{told}\n".encode())
    write_private(path, "".join(f"{line}\n" for line in readable(content)).encode())
    return path


def readable(content: Mapping[str, Any]) -> list[str]:
    """The certificate as lines for people."""
    left = content["conferencia"]["sobrou"]
    return [
        "CERTIFICADO DE APAGAMENTO DE DADOS PESSOAIS",
        "",
        f"Apagamento {content['apagamento']}",
        f"Empresa: {content['empresa']} ({content['ambiente']})",
        f"Feito por: {content['por']}",
        f"Motivo: {content['motivo']}",
        *(f"Responde ao pedido {number} do registro" for number in content["pedidos"]),
        f"Início: {content['inicio']}",
        f"Fim: {content['fim']}",
        "",
        f"O que foi apagado ({counted(content['registros'], 'registro')} de "
        f"{counted(content['pessoas'], 'pessoa')}):",
        *_listed(f"{place}: {count}" for place, count in content["apagado"].items()),
        "",
        f"Para que a pessoa não volte: {counted(content['marcas_contra_a_volta'], 'marca')} "
        "(HMAC-SHA-256), de que não se lê o dado.",
        "",
        "O que permanece e por quê:",
        *_listed(content["permanece"]),
        "",
        "Cópias de segurança feitas antes, que vencem e saem até o dia dito; se uma delas voltar, "
        "o que foi apagado é apagado de novo antes de qualquer uso:",
        *_listed(f"{one['arquivo']}: {one['ate']}" for one in content["copias_de_seguranca"]),
        "",
        "Para onde os dados foram levados (LGPD, art. 18, § 6º: avise para que também apaguem):",
        *_listed(
            f"{one['lista']}: {one['arquivo']}, em {one['quando']}, por {one['por']}"
            for one in content["destinos_a_avisar"]
        ),
        "",
        "De onde os dados vieram:",
        *_listed(content["fontes"]),
        "",
        "Conferência depois de apagar: "
        + ("ainda há menções à pessoa em:" if left else "nada da pessoa foi encontrado."),
        *(_listed(f"{place}: {count}" for place, count in left.items()) if left else []),
    ]


def _listed(lines: Any) -> list[str]:
    return [f"  - {line}" for line in lines] or ["  - nada"]
