"""Which audiences a product belongs to: by id, by name pattern, or as the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from crm_assets.tenants import Audience


def product_audiences(products: pl.DataFrame, audiences: Mapping[str, Audience]) -> pl.DataFrame:
    """Audiences of each product.

    Args:
        products: `product_id`, `name`.
        audiences: the tenant's audiences by slug.

    Returns:
        Per row `audiences` (slugs in the tenant's order) and `is_mapped` (an audience names it).
    """
    named = {slug: _names(audience) for slug, audience in audiences.items() if not audience.rest}
    rest = [slug for slug, audience in audiences.items() if audience.rest]
    matches = [pl.when(rule).then(pl.lit(slug)) for slug, rule in named.items()]
    mapped = pl.any_horizontal(pl.lit(False), *named.values())
    own = pl.concat_list(matches).list.drop_nulls() if matches else pl.lit([], pl.List(pl.String))
    return products.with_columns(
        audiences=pl.when(mapped).then(own).otherwise(pl.lit(rest, pl.List(pl.String))),
        is_mapped=mapped,
    ).select("audiences", "is_mapped")


def _names(audience: Audience) -> pl.Expr:
    """Whether an audience names a product; letter case does not matter in a name."""
    patterns = [
        re.escape(name).replace(r"\*", ".*").replace(r"\?", ".") for name in audience.product_names
    ]
    by_id = pl.col("product_id").is_in(list(audience.product_ids)).fill_null(False)
    if not patterns:
        return by_id
    by_name = pl.col("name").str.contains(rf"(?is)^(?:{'|'.join(patterns)})$").fill_null(False)
    return by_id | by_name
