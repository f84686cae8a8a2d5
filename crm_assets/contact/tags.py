"""Tags of one cell, in the ways people and programs write several."""

import json

from crm_assets.contact.dates import NULL_WORDS


def split_tags(cell: str) -> list[str]:
    """Return the tags of one cell.

    A JSON list (of texts, or of objects with a `name`) is taken first, then a `|` list, then a `;`
    list. A comma may belong to the name of a tag, so it never splits.
    """
    if cell.lower() in NULL_WORDS:
        return []
    try:
        found = json.loads(cell) if cell.startswith("[") else None
    except ValueError:
        found = None
    if found is None:
        names = cell.split("|" if "|" in cell else ";")
    else:
        names = [str(tag.get("name") or "") if isinstance(tag, dict) else str(tag) for tag in found]
    return [name.strip() for name in names if name.strip()]
