"""What ``wallet present`` prints before it asks, for a person and for a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from web.texts import load_texts, plain

from .consent import Consent


def label(texts: Mapping[str, str]) -> str:
    """Both languages, or the one there is."""
    return " / ".join(
        dict.fromkeys(text for lang in ("en", "zh-Hant") if (text := plain(texts.get(lang, ""))))
    )


def low_line(reason: str) -> str:
    """A warning of `wallet list`, and what to do about it."""
    told = label(load_texts().entries[f"wallet.low.{reason}"])
    return told if reason == "revoked" else f"{told} (bauhinia wallet sync)"


def asked(consent: Consent) -> dict[str, Any]:
    """The question as JSON: names of claims, never their values."""
    return {
        "verifier": {lang: name.text for lang, name in consent.name.items()},
        "registered": consent.registered,
        "certificate": consent.certificate,
        "origin": consent.origin,
        "purpose": dict(consent.purpose),
        "legal_basis": dict(consent.legal_basis),
        "claims": list(consent.claims),
        "credentials": [
            {"type": item.type, "format": item.format.format, "alternatives": list(item.format.alternatives)}
            for item in consent.items
        ],
    }


def consent_screen(consent: Consent) -> list[str]:
    """The question in both languages, line by line."""
    name = label({lang: name.text for lang, name in consent.name.items()})
    lines = [f"Who asks / 查詢者: {name}  ({consent.origin})"]
    if not consent.registered:
        lines.append(
            "  NOT REGISTERED: nobody vouches for this verifier or its purpose. / 未經登記，請小心。"
        )
    if any(name.deceptive for name in consent.name.values()):
        lines.append("  The name holds letters that pass for others. / 名稱含有易混淆的字元。")
    lines.append(f"  certificate {consent.certificate[:16]}…")
    if consent.purpose:
        lines.append(f"Purpose / 用途: {label(consent.purpose)}")
        lines.append(f"  {label(consent.legal_basis)}")
    for item in consent.items:
        lines.append(f"{label(item.label)}  [{item.format.format}]")
        lines += [f"  sends / 提供: {label(shown.label)} = {label(shown.words)}" for shown in item.shown]
        lines.append(f"  keeps hidden / 不提供: {len(item.hidden)} other statements / 項其他資料")
        lines.append(f"  copies left afterwards / 餘下副本: {item.left_after}")
    return lines
