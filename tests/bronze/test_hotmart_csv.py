"""Sales exports of Hotmart's panel: headers, words and cells, down to `bronze.hotmart_csv`."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.bronze.hotmart_csv_file import (
    REASONS,
    SALE_SCHEMA,
    parse_amounts,
    read_sales,
)
from crm_assets.bronze.hotmart_csv_words import ALIASES, NEVER_KEPT, STATUS_OF, STATUS_WORDS
from crm_assets.bronze.text_table import REJECT_SCHEMA, RefusedFile
from crm_assets.checks.bronze import HotmartCsv
from crm_assets.checks.contract import check_frame
from crm_assets.contact.headers import normalise_header
from crm_resources.hotmart.statuses import STATUSES

PRESENT = """\
Código da transação;Status da transação;Data da transação;Confirmação do pagamento;Produtor(a);\
Código do produto;Produto;Código do preço;Nome deste preço;Moeda de compra;\
Valor de compra com impostos;Valor de compra sem impostos;Moeda de recebimento;\
Taxa de processamento;Faturamento líquido;Faturamento líquido do(a) Produtor(a);Código SRC;\
Código SCK;Método de pagamento;Tipo de cobrança;Quantidade total de parcelas;\
Quantidade de cobranças;Comprador(a);Email do(a) Comprador(a);País;Telefone;Documento;\
Estado / Província;Cidade;Venda feita como
HP0101;Aprovado;31/01/2026 23:59:59;01/02/2026 00:00:10;Casa Invento;4201;Curso ILPI;abc123;\
Turma 1;BRL;1.197,90;997,00;BRL;69,90;927,10;927,10;(none);instagram;Pix;Único;1;1;Ana Invento;\
Ana@example.com;Brasil;11987654321;529.982.247-25;SP;São Paulo;Produtor(a)
"""
OLDER = """\
Nome do Produto;Transação;Meio de Pagamento;Origem;Moeda;Preço do Produto;Moeda;Preço da Oferta;\
Taxa de Câmbio;Moeda;Preço Original;Recorrência;Data de Venda;Data de Confirmação;Status;Nome;\
Documento;Email;DDD;Telefone;Cidade;Estado;País;Código do Produto;Código de Oferta;\
Origem de Checkout;Tipo de Pagamento;Venda feita como;Preço Total;Moeda;\
Valor que você recebeu convertido;Moeda de recebimento;Faturamento líquido
Curso ILPI;HP0102;Boleto;anuncio;BRL;97;BRL;97;1;BRL;97;2;10/02/2026 08:30:00;;Boleto Impresso;\
Bia Invento;;bia@example.com;21;98765-4321;;RJ;Brasil;4201;abc123;bio;À vista;Co-produtor;97,5;\
USD;17,1;USD;17,123
"""


def read(content):
    content = content.encode() if isinstance(content, str) else content
    return read_sales(content, timezone="America/Sao_Paulo")


def only(content):
    file = read(content)
    (row,) = file.frame.to_dicts()
    return row, file


def rejected(file):
    return {(row["column"], row["reason"], row["raw"]) for row in file.rejects.to_dicts()}


def test_the_present_report():
    row, file = only(PRESENT)
    assert json.loads(row.pop("raw"))["Valor de compra com impostos"] == "1.197,90"
    assert row == {
        "line": 2,
        "transaction": "HP0101",
        "status": "APPROVED",
        "ordered_at": datetime(2026, 2, 1, 2, 59, 59, tzinfo=UTC),
        "approved_at": datetime(2026, 2, 1, 3, 0, 10, tzinfo=UTC),
        "product_id": "4201",
        "product_name": "Curso ILPI",
        "buyer_name": "Ana Invento",
        "buyer_email": "Ana@example.com",
        "buyer_phone": "11987654321",
        "buyer_document": "529.982.247-25",
        "city": "São Paulo",
        "state": "SP",
        "country": "Brasil",
        "price_value": Decimal("1197.90"),
        "price_currency": "BRL",
        "payment_type": "Único",
        "payment_method": "Pix",
        "installments": 1,
        "offer_code": "abc123",
        "recurrence_number": 1,
        "net_value": Decimal("927.10"),
        "net_currency": "BRL",
        "commission_as": "PRODUCER",
        "source_src": None,
        "source_sck": "instagram",
    }
    assert file.rejects.is_empty()
    assert file.unmapped == [
        "Produtor(a)",
        "Nome deste preço",
        "Valor de compra sem impostos",
        "Taxa de processamento",
        "Faturamento líquido do(a) Produtor(a)",
    ]
    assert (file.separator, file.encoding) == (";", "utf-8")


def test_the_older_report():
    row, file = only(OLDER)
    assert row["status"] == "PRINTED_BILLET"
    assert row["buyer_phone"] == "21 98765-4321"
    assert (row["price_value"], row["price_currency"]) == (Decimal("97.50"), "BRL")
    assert (row["net_value"], row["net_currency"]) == (Decimal("17.12"), "USD")
    assert (row["source_src"], row["source_sck"]) == ("anuncio", "bio")
    assert (row["commission_as"], row["recurrence_number"]) == ("COPRODUCER", 2)
    assert row["approved_at"] is None
    assert file.rejects.is_empty()


def test_the_seven_columns_of_an_audience_export():
    row, file = only(
        "Transação;Email;Código do Produto;Status;Nome;DDD;Telefone;Preço Total\n"
        "HP1;ana@example.com;4201;Completo;Ana;11;987654321;297,00\n"
    )
    assert (row["status"], row["price_value"]) == ("COMPLETE", Decimal("297.00"))
    assert (row["price_currency"], row["ordered_at"]) == (None, None)
    assert file.rejects.is_empty()


@pytest.mark.parametrize(
    "content",
    [
        "Transaction code,Transaction status,Transaction date,Product code,Buyer,Total price\n"
        'HP1,Refunded,31/01/2026 10:00:00,7,Ana,"1,234.50"\n',
        "Código de la transacción;Estado de la transacción;Fecha de la transacción;"
        "Código del producto;Nombre del comprador;Precio total\n"
        "HP1;Reembolsado;31/01/2026 10:00:00;7;Ana;1.234,50\n",
    ],
    ids=["English", "Spanish"],
)
def test_other_languages(content):
    row, _ = only(content)
    assert row["transaction"] == "HP1"
    assert row["status"] == "REFUNDED"
    assert row["ordered_at"] == datetime(2026, 1, 31, 13, tzinfo=UTC)
    assert (row["product_id"], row["buyer_name"]) == ("7", "Ana")
    assert row["price_value"] == Decimal("1234.50")


def test_the_zone_is_the_tenants():
    file = read_sales(PRESENT.encode(), timezone="America/Manaus")
    assert file.frame["ordered_at"][0] == datetime(2026, 2, 1, 3, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_any_encoding(encoding):
    assert only(PRESENT.encode(encoding))[0]["city"] == "São Paulo"


def test_a_file_without_a_transaction_column_is_refused_with_its_headers():
    with pytest.raises(RefusedFile) as refused:
        read("Email;Código do Produto;Preço Total\nana@example.com;1;2\n")
    assert refused.value.reason == (
        "O arquivo não tem a coluna do código da transação (Código da transação ou Transação); "
        "colunas encontradas: Email, Código do Produto, Preço Total."
    )
    with pytest.raises(RefusedFile, match="não é um cabeçalho") as refused:
        read("ana.segredo@example.com;HP1;10,00\n")
    assert "segredo" not in refused.value.reason


def test_a_row_without_a_transaction_is_set_aside_whole():
    file = read("Transação;Nome\nHP1;Ana\n;Bia\n(none);Caio\nHP 2;Duda\nTotal geral;4\n")
    assert file.frame["transaction"].to_list() == ["HP1"]
    assert file.rejects["line"].to_list() == [3, 4, 5, 6]
    assert set(file.rejects["reason"]) == {"transacao_ausente"}
    assert json.loads(file.rejects["raw"][0]) == {"Transação": "", "Nome": "Bia"}


def test_cells_that_cannot_be_read_are_empty_and_told():
    row, file = only(
        "Transação;Data de Venda;Preço Total;Moeda de compra;Quantidade total de parcelas\n"
        "HP1;31/02/2026;dez;XX;duas\n"
    )
    assert {row[name] for name in ("ordered_at", "price_value", "price_currency")} == {None}
    assert row["installments"] is None
    assert rejected(file) == {
        ("Data de Venda", "data_ilegivel", "31/02/2026"),
        ("Preço Total", "valor_ilegivel", "dez"),
        ("Moeda de compra", "moeda_desconhecida", "XX"),
        ("Quantidade total de parcelas", "numero_ilegivel", "duas"),
    }


def test_no_price_is_negative_but_a_commission_may_be():
    row, file = only("Transação;Preço Total;Faturamento líquido\nHP1;-12,00;-5,00\n")
    assert (row["price_value"], row["net_value"]) == (None, Decimal("-5.00"))
    assert rejected(file) == {("Preço Total", "preco_negativo", "-12,00")}


@pytest.mark.parametrize(
    ("moedas", "currency", "reason"),
    [
        (("BRL", "BRL", "BRL"), "BRL", None),
        (("BRL", "", "(none)"), "BRL", None),
        (("R$", "brl", ""), "BRL", None),
        (("", "", ""), None, None),
        (("BRL", "USD", "BRL"), None, "moeda_ambigua"),
        (("reais", "", ""), None, "moeda_desconhecida"),
    ],
)
def test_the_older_reports_currency_is_what_its_three_cells_agree_on(moedas, currency, reason):
    one, two, three = moedas
    row, file = only(
        "Transação;Moeda;Preço do Produto;Moeda;Preço da Oferta;Moeda;Preço Original;Preço Total;"
        "Moeda;Valor que você recebeu convertido\n"
        f"HP1;{one};1;{two};1;{three};1;1,00;EUR;1\n"
    )
    assert row["price_currency"] == currency
    assert [found for _, found, _ in rejected(file)] == ([reason] if reason else [])


def test_what_is_never_kept_is_in_no_column_and_not_in_raw():
    headers = ["Endereço IP", "User-Agent", "Gênero", "Código de barras", "Pix copia e cola"]
    assert {normalise_header(header) for header in headers} <= NEVER_KEPT
    row, file = only(
        f"Transação;Nome;{';'.join(headers)}\nHP1;Ana;{';'.join(['SEGREDO'] * 5)}\n"
        f";Bia;{';'.join(['SEGREDO'] * 5)}\n"
    )
    assert "SEGREDO" not in str(row)
    assert "SEGREDO" not in str(file.rejects.to_dicts())
    assert json.loads(row["raw"]) == {"Transação": "HP1", "Nome": "Ana"}


def test_every_status_of_the_api_has_its_words_and_no_word_has_two():
    assert set(STATUS_WORDS) == set(STATUSES)
    words = [word for said in STATUS_WORDS.values() for word in said.split()]
    assert len(words) == len(set(words))
    assert all(word == normalise_header(word) for word in words)
    for status in STATUSES:
        assert STATUS_OF[normalise_header(status)] == status


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Aprovado", "APPROVED"),
        ("COMPLETO", "COMPLETE"),
        ("Aguardando pagamento", "WAITING_PAYMENT"),
        ("Em análise", "UNDER_ANALISYS"),
        ("Under analysis", "UNDER_ANALISYS"),
        ("PRINTED_BILLET", "PRINTED_BILLET"),
        ("Reembolsado parcialmente", "PARTIALLY_REFUNDED"),
        ("Chargeback", "CHARGEBACK"),
        ("Palavra Nova", "Palavra Nova"),
        ("(none)", None),
    ],
)
def test_a_status_word_is_the_apis_where_it_is_known(word, status):
    assert only(f"Transação;Status\nHP1;{word}\n")[0]["status"] == status


def test_no_two_columns_share_a_header_name():
    names = [alias for aliases in ALIASES.values() for alias in aliases.split()]
    assert len(names) == len(set(names))
    assert all(name == normalise_header(name) for name in names)
    assert not NEVER_KEPT.intersection(names)


@pytest.mark.parametrize(
    ("cells", "mark", "amounts"),
    [
        (["1.234,56", "197,00", "0,5", "-12,00"], None, ["1234.56", "197.00", "0.50", "-12.00"]),
        (["1,234.56", "197.00", "1234.5"], None, ["1234.56", "197.00", "1234.50"]),
        (["R$ 1.234,56", "US$ 10.00", "BRL 7"], None, ["1234.56", "10.00", "7.00"]),
        (["1.234", "1,234", "-9.876"], None, [None, None, None]),
        (["1.234", "1,234", "-9.876"], ",", ["1234.00", "1.23", "-9876.00"]),
        (["1.234", "1,234", "-9.876"], ".", ["1.23", "1234.00", "-9.88"]),
        (["1.234.567", "1,234,567"], None, ["1234567.00", "1234567.00"]),
        (["0.125", "1234.567"], None, ["0.13", "1234.57"]),
        (["134,612345", "1,0050"], None, ["134.61", "1.01"]),
        (["1.23.4", "1,2,3", "1.2.3,4", "abc", "", "--", "1e5", "9" * 30], ",", [None] * 8),
    ],
)
def test_amounts(cells, mark, amounts):
    found = parse_amounts(pl.Series(cells), mark)
    assert found.to_list() == [amount and Decimal(amount) for amount in amounts]


@pytest.mark.parametrize(
    ("other", "amount"),
    [
        ("10,50", "1234.00"),
        ("10.50", "1.23"),
        ("1.234.567,8", "1234.00"),
        ("1.234.567", None),
        ("10", None),
        ("", None),
    ],
)
def test_what_may_be_thousands_is_read_as_the_rest_of_the_file(other, amount):
    file = read(f"Transação;Preço Total;Faturamento líquido\nHP1;1.234;{other}\n")
    assert file.frame["price_value"][0] == (amount and Decimal(amount))


@given(st.lists(st.decimals(0, 10**9, places=2), min_size=1, max_size=8), st.booleans())
def test_amounts_survive_both_ways_of_writing(values, brazilian):
    written = [f"{value:,.2f}" for value in values]
    if brazilian:
        written = [text.translate(str.maketrans(",.", ".,")) for text in written]
    assert parse_amounts(pl.Series(written)).to_list() == values


cells = st.text(
    st.characters(codec="utf-8", exclude_characters='\0\r\n";', exclude_categories=["Cs"]),
    max_size=12,
)
HEADER = [
    "Transação",
    "Status",
    "Data de Venda",
    "Preço Total",
    "Moeda de compra",
    "Recorrência",
    "DDD",
    "Telefone",
    "Documento",
    "Venda feita como",
]


@pytest.mark.slow
@given(st.lists(st.lists(cells, min_size=1, max_size=12), min_size=1, max_size=6))
def test_malformed_cells_never_break_the_table(rows):
    lines = [";".join(HEADER), *(";".join(["HP1", *row]) for row in rows)]
    file = read("\n".join(lines))
    assert file.frame.schema == SALE_SCHEMA
    assert file.rejects.schema == REJECT_SCHEMA
    assert set(file.rejects["reason"]) <= set(REASONS)
    assert len(file.frame) == len(rows)
    assert not file.rejects["raw"].is_null().any()
    rows = file.frame.with_columns(
        slice=pl.lit("s"),
        extracted_at=pl.lit(datetime(2026, 3, 15, tzinfo=UTC)),
        run_id=pl.lit("r"),
    )
    assert check_frame(rows, HotmartCsv).passed


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(content):
    try:
        file = read(content)
    except RefusedFile:
        return
    assert file.frame.schema == SALE_SCHEMA


def test_the_contract_has_the_readers_columns():
    columns = list(HotmartCsv.to_schema().columns)
    assert set(SALE_SCHEMA) == set(columns) - {"slice", "extracted_at", "run_id"}
