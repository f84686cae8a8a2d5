"""What a sales export of Hotmart's panel calls things: its headers, its statuses, our role.

Hotmart documents none of its exports, so that these are the names seen in the field: those of the
present report ("Código da transação", …) and of the older one ("Transação", …), in Portuguese, and
their likely English and Spanish counterparts. Whatever is not known here is kept as it is written.
"""

from crm_assets.contact.headers import normalise_header

ALIASES = {
    "transaction": "codigodatransacao transacao transactioncode transaction transactionid"
    " codigodelatransaccion codigodetransaccion transaccion",
    "status": "statusdatransacao status transactionstatus estadodelatransaccion"
    " estadodetransaccion estatusdelatransaccion",
    "ordered_at": "datadatransacao datadevenda datadopedido transactiondate saledate orderdate"
    " purchasedate fechadelatransaccion fechadetransaccion fechadeventa fechadecompra",
    "approved_at": "confirmacaodopagamento datadeconfirmacao datadeaprovacao paymentconfirmation"
    " paymentconfirmationdate confirmationdate approvaldate confirmaciondelpago"
    " confirmaciondepago fechadeconfirmacion fechadeaprobacion",
    "product_id": "codigodoproduto codigoproduto iddoproduto productcode productid"
    " codigodelproducto codigodeproducto iddelproducto",
    "product_name": "produto nomedoproduto product productname producto nombredelproducto",
    "buyer_name": "compradora comprador nomedocomprador nomedoacompradora nome buyer buyername"
    " name nombredelcomprador nombredelacompradora nombre",
    "buyer_email": "emaildoacompradora emaildocomprador email buyeremail emaildelcomprador"
    " emaildelacompradora emaildeldelacompradora correoelectronico correo",
    "area_code": "ddd areacode codigodearea",
    "buyer_phone": "telefone telefonedocomprador phone phonenumber telefono celular",
    "buyer_document": "documento documentousuario documentodocomprador document buyerdocument"
    " cpfcnpj cpf documentodelcomprador",
    "city": "cidade city ciudad",
    "state": "estadoprovincia estado stateprovince state provincia",
    "country": "pais country",
    "price_value": "valordecompracomimpostos precototal purchasevaluewithtaxes"
    " purchasevaluewithtax totalprice valordecompraconimpuestos preciototal",
    "price_currency": "moedadecompra moedadacompra purchasecurrency monedadecompra"
    " monedadelacompra",
    "payment_type": "tipodecobranca tipodepagamento billingtype chargetype paymenttype"
    " tipodecobro tipodepago",
    "payment_method": "metododepagamento meiodepagamento formadepagamento paymentmethod"
    " metododepago mediodepago formadepago",
    "installments": "quantidadetotaldeparcelas numerodeparcelas totalinstallments"
    " numberofinstallments installments cantidadtotaldecuotas numerodecuotas",
    "offer_code": "codigodopreco codigodeoferta codigodaoferta pricecode offercode"
    " codigodelprecio codigodelaoferta",
    "recurrence_number": "quantidadedecobrancas recorrencia numberofcharges recurrence"
    " cantidaddecobros recurrencia",
    "net_value": "minhacomissao faturamentoliquido mycommission netrevenue micomision"
    " facturacionneta",
    "net_currency": "moedadacomissao moedaderecebimento commissioncurrency receivingcurrency"
    " payoutcurrency monedadelacomision monedaderecepcion",
    "commission_as": "vendafeitacomo origemdacomissao salemadeas commissionorigin"
    " ventarealizadacomo origendelacomision",
    "source_src": "codigosrc src origem srccode",
    "source_sck": "codigosck sck origemdecheckout sckcode",
}
"""Column → what its header may be called, the best first; as `normalise_header` writes them."""

NEVER_KEPT = frozenset(
    {"ip", "enderecoip", "ipdocomprador", "buyerip", "ipaddress", "direccionip", "useragent"}
    | {"genero", "sexo", "gender", "fotodeperfil", "hottok"}
    | {"codigodebarras", "linhadigitavel", "codigodoboleto", "linkdoboleto", "urldoboleto"}
    | {"billetcode", "barcode", "codigopix", "pixcopiaecola", "qrcode", "qrcodepix", "pixcode"}
)
"""Headers whose cells are not stored (rules 1.12)."""

STATUS_WORDS = {
    "APPROVED": "aprovado aprovada aprobado aprobada",
    "BLOCKED": "bloqueado bloqueada",
    "CANCELLED": "cancelado cancelada canceled",
    "CHARGEBACK": "contracargo",
    "COMPLETE": "completo completa completed completado completada concluido concluida",
    "EXPIRED": "expirado expirada",
    "NO_FUNDS": "semsaldo saldoinsuficiente semfundos insufficientfunds sinfondos",
    "OVERDUE": "atrasado atrasada",
    "PARTIALLY_REFUNDED": "parcialmentereembolsado reembolsadoparcialmente reembolsoparcial"
    " reembolsadaparcialmente partialrefund",
    "PRE_ORDER": "prevenda prepedido preventa",
    "PRINTED_BILLET": "boletoimpresso billetprinted boletogerado",
    "PROCESSING_TRANSACTION": "processandotransacao processando processing procesando"
    " procesandotransaccion",
    "PROTESTED": "reclamado reclamada emdisputa disputed indispute endisputa",
    "REFUNDED": "reembolsado reembolsada",
    "STARTED": "iniciado iniciada",
    "UNDER_ANALISYS": "emanalise underanalysis enanalisis",
    "WAITING_PAYMENT": "aguardandopagamento waitingforpayment awaitingpayment esperandopago"
    " esperandoelpago pendientedepago",
}
"""The API's status → the words of the exports for it; any other word is kept as it is written."""

STATUS_OF = {
    word: status
    for status, words in STATUS_WORDS.items()
    for word in (normalise_header(status), *words.split())
}
ROLE_OF = {
    word: role
    for role, words in {
        "PRODUCER": "produtor produtora producer productor productora",
        "COPRODUCER": "coprodutor coprodutora coproducer coproductor coproductora",
        "AFFILIATE": "afiliado afiliada affiliate",
    }.items()
    for word in words.split()
}
_CURRENCY = {"moeda", "currency", "moneda"}
_RECEIVED = ("valorquevocerecebeu", "valorrecebido", "amountreceived", "valorrecibido")


def columns_of(keys: list[str]) -> dict[str, int]:
    """Column → index of the header that fills it: the best alias that is there, at its first."""
    found = {}
    for name, aliases in ALIASES.items():
        header = next((alias for alias in aliases.split() if alias in keys), None)
        if header is not None:
            found[name] = keys.index(header)
    return found


def price_currencies(keys: list[str]) -> list[int]:
    """Indexes of the headers that say only "currency", but for that of what was received."""
    return [
        index
        for index, key in enumerate(keys)
        if key in _CURRENCY and not "".join(keys[index + 1 : index + 2]).startswith(_RECEIVED)
    ]
