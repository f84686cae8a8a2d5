"""What a post says of itself: its token, its key, its name and its time.

Nothing here fails and nothing is lost: what is not JSON and no form stays the text that it is, and
what it says is decided later, when it is processed. Only the sender's token goes (rules 1.12).
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from crm_resources.ops import InboxEvent

OLD_VERSION = "1.0.0"
"""The flat format, posted as a form; it names no version of its own."""

_TOKEN = "hottok"  # noqa: S105
_TOKEN_WRITTEN = re.compile(
    r"""("?hottok"?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|[^&\s,}]+)""", re.IGNORECASE
)
_FORM = re.compile(r"[\w.%+-]+=[^\r\n]*", re.ASCII)
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.ASCII | re.IGNORECASE)
_NO_ID = {"", "0", "null", "none", "undefined"}
_MOST_FIELDS = 1000
_LONGEST = 200
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_MILLISECONDS = 100_000_000_000
"""A time from here on counts milliseconds, below it seconds (hotmart.md 7, case 30)."""


@dataclass(frozen=True, slots=True)
class Post:
    """A body as it was read.

    Attributes:
        text: as it came; a form as JSON, its values text or, when repeated, lists of texts.
        said: what the JSON says; None when it is none.
        is_form: whether it came as a form.
    """

    text: str
    said: Any
    is_form: bool = False

    @property
    def token(self) -> str | None:
        """The token that stands in the body."""
        return _text(self._field(_TOKEN))

    def _field(self, *names: str) -> Any:
        """The first of some fields that the root has."""
        if not isinstance(self.said, dict):
            return None
        return next((self.said[name] for name in names if name in self.said), None)

    def event(self, kind: str, content_type: str | None, received_at: datetime) -> InboxEvent:
        """The event to be kept, without the token.

        Args:
            kind: `hotmart` or `manychat`.
            content_type: as it was sent.
            received_at: when it came, aware.
        """
        clean = self._without_token()
        own = kind == "hotmart"
        created = clean._field("creation_date", "creationDate")
        return InboxEvent(
            kind=kind,
            event_key=clean._key() if own else _digest(f"{received_at:%Y%m%d%H%M} {clean.text}"),
            event=_short(clean._field("event")) if own else None,
            version=clean._version() if own else None,
            content_type=_short(content_type),
            body=clean.text,
            event_at=_instant(created) if own else None,
            received_at=received_at,
        )

    def _without_token(self) -> Post:
        if _TOKEN not in self.text.casefold() and "\\u" not in self.text:
            return self
        if _drop_tokens(self.said):
            try:
                return Post(_dumped(self.said), self.said, self.is_form)
            except RecursionError:
                pass
        return Post(_TOKEN_WRITTEN.sub(r'\1""', self.text), self.said, self.is_form)

    def _version(self) -> str | None:
        stated = _short(self._field("version"))
        if stated is None and self._field("event", "data") is None:
            is_flat = self._field("transaction", "callback_type") is not None
            return OLD_VERSION if self.is_form or is_flat else None
        return stated

    def _key(self) -> str:
        """The event's id; else its name, sale, subscription and date; else all of its text."""
        stated = _short(self._field("id"))
        if stated is not None and stated.casefold() not in _NO_ID:
            return stated if len(stated) < _LONGEST else _digest(stated)
        name, date = self._field("event"), self._field("creation_date", "creationDate")
        data = self._field("data")
        sale = _at(data, "purchase", "transaction")
        subscription = (
            _at(data, "subscription", "subscriber", "code")
            or _at(data, "subscriber", "code")
            or _at(data, "subscription", "subscriber_code")
        )
        if name and date and (sale or subscription):
            return _digest(json.dumps([name, sale, subscription, date], sort_keys=True))
        return _digest(self.text)


def read_post(body: bytes, content_type: str | None) -> Post:
    """Read a body as JSON, whatever type it claims, else as a form, else as text.

    Args:
        body: as it came.
        content_type: as it was sent.
    """
    text = _decoded(body, content_type)
    try:
        return Post(text, json.loads(text))
    except (ValueError, RecursionError):
        pass
    claims_form = "form-urlencoded" in (content_type or "").lower()
    if claims_form or _FORM.fullmatch(text.strip()):
        try:
            pairs = parse_qs(
                text.strip(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace"
            )
        except ValueError:
            pairs = {}
        if pairs:
            fields = {name: each[0] if len(each) == 1 else each for name, each in pairs.items()}
            return Post(_dumped(fields), fields, is_form=True)
    return Post(text, None)


def _decoded(body: bytes, content_type: str | None) -> str:
    """The text of a body, every byte of it; no database keeps a NUL."""
    stated = _CHARSET.search(content_type or "")
    text = body.decode("latin-1")
    for encoding in (json.detect_encoding(body), *([stated[1]] if stated else [])):
        with suppress(UnicodeDecodeError, LookupError):
            text = body.decode(encoding)
            break
    return text.replace("\x00", "\ufffd")


def _drop_tokens(said: Any) -> bool:
    """Take every key that holds a token out of a value of JSON; whether there was one."""
    found, left = False, [said]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            for name in [name for name in one if name.casefold() == _TOKEN]:
                del one[name]
                found = True
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return found


def _dumped(value: Any) -> str:
    """JSON as people read it; with escapes where a text is none that UTF-8 has."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _short(value: Any) -> str | None:
    """A text or number as one line that every database keeps."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    line = str(value).strip()[:_LONGEST]
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in line)


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _instant(value: Any) -> datetime | None:
    """The instant that milliseconds, seconds or an ISO text mean; None when it is none of ours."""
    try:
        if isinstance(value, str) and not value.strip().isdecimal():
            at = datetime.fromisoformat(value.strip())
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        else:
            number = float(value)
            at = datetime.fromtimestamp(number / 1000 if number >= _MILLISECONDS else number, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return at.astimezone(UTC) if _FIRST <= at < _LAST else None
