"""Strict reading of request bodies: one media type, no member twice, a size cap of its own."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from flask import request

from credentials.encoding import load_json_object
from credentials.errors import MediaTypeRefused, RequestInvalid, TooLarge

MAX_FIELDS = 50


def _read(media_type: str, max_bytes: int) -> bytes:
    if request.mimetype != media_type:
        raise MediaTypeRefused(f"the body must be {media_type}")
    if (request.content_length or 0) > max_bytes:
        raise TooLarge(f"the body is over {max_bytes} bytes")
    data = request.get_data(cache=False)
    if len(data) > max_bytes:
        raise TooLarge(f"the body is over {max_bytes} bytes")
    return data


def json_object(*, max_bytes: int = 1 << 18) -> dict[str, Any]:
    """The JSON object in the body. Raises MediaTypeRefused, TooLarge, JsonMalformed."""
    return load_json_object(_read("application/json", max_bytes), max_bytes=max_bytes)


def form_fields(*, max_bytes: int = 1 << 18) -> dict[str, str]:
    """The fields of a form (application/x-www-form-urlencoded), no name twice (RFC 6749, 3.2)."""
    data = _read("application/x-www-form-urlencoded", max_bytes)
    try:
        pairs = parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(data),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise RequestInvalid("the form is malformed") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RequestInvalid("a form field is given twice")
    return fields


def bearer(scheme: str = "Bearer") -> str | None:
    """The credential of the Authorization header, or ``None`` where there is none of this scheme."""
    name, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() or None if name.lower() == scheme.lower() else None
