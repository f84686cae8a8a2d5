from crm_assets.checks.dictionary import PATH, TABLES, dictionary


def test_the_shipped_dictionary_is_the_one_the_contracts_give() -> None:
    assert PATH.read_text(encoding="utf-8") == dictionary(), (
        "run: uv run python -m crm_assets.checks.dictionary"
    )


def test_every_table_of_the_graph_is_in_it() -> None:
    from crm_assets.definitions import defs

    tables = {".".join(key.path) for key in defs.resolve_all_asset_keys()}
    named = {name.replace("<name>", "todos") for name in TABLES}
    views = {"silver.customer_lineage"}
    assert tables - {"gold.serving", "gold.exports", "gold.churn_report"} == named - views
