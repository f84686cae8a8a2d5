"""Text that says nothing: invisible characters, and the words written where there is no value.

What every contact field shares stands here; placeholders of one kind of value (a dummy phone, a
dummy address, a dummy name) stand with that kind.
"""

from typing import Literal

import polars as pl

_BLANK = r"[\s\p{Z}\p{Cf}]*"
_NULL_WORDS = r"null|nil|nan|none|undefined|<na>|#?n/[ad]|[-‐–—]+"
_MISSING = rf"(?i)^{_BLANK}(?:(?:{_NULL_WORDS})(?:[\s\p{{Z}}]+(?:{_NULL_WORDS}))*)?{_BLANK}$"


def is_missing_text(expr: pl.Expr) -> pl.Expr:
    """Tell which texts stand for "no value" (mdm 4.1).

    Args:
        expr: A text expression.

    Returns:
        A boolean expression without nulls: true for null, blank (invisible characters count as
        blank), and "null", "nan", "none", "-", "n/a" and their kin in any case, several too.
    """
    return expr.str.contains(_MISSING).fill_null(True)


def fold_text(expr: pl.Expr, form: Literal["NFC", "NFKC"] = "NFKC") -> pl.Expr:
    """Bring a text to one Unicode form, without invisible characters and outer blanks.

    Args:
        expr: A text expression.
        form: NFKC where only the meaning counts, NFC where the text is shown to people.

    Returns:
        The folded text; zero-width and direction marks are gone, other controls are spaces.
    """
    folded = expr.str.normalize(form).str.replace_all(r"\p{Cf}+", "")
    return folded.str.replace_all(r"\p{Cc}", " ").str.strip_chars()
