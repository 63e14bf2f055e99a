"""What was revoked, as the wallet itself can see: from whole status lists that `sync` fetches, and only then.

The list of a window is the same for all its holders, so fetching it tells no more than holding the credential
does; a look-up for one copy, or at the moment it is shown, would tell the issuer when and where that was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from credentials.errors import NetworkUnavailable, Refusal, Undetermined
from revocation.check import refuse_tracking_uri
from revocation.statuslist import INVALID
from revocation.token import open_token

from .records import Batch, Copy, Entry
from .wallet import Wallet, write_log

LIST_TYPE: Final = "application/statuslist+jwt"
"""Both encodings are of one bit array: for looking at one's own copies either will do."""


def mark_revoked(wallet: Wallet) -> tuple[str, ...]:
    """Mark the batches whose copies a list calls invalid, and log it; gives their configurations.

    A list that does not come, or does not verify, changes nothing.
    """
    indices: dict[str, set[int]] = {}
    for copy in map(Copy.of, wallet.vault.records("copy")):
        if copy.index is not None:
            indices.setdefault(copy.batch, set()).add(copy.index)
    by_list: dict[str, list[Batch]] = {}
    for batch in map(Batch.of, wallet.vault.records("batch")):
        if batch.status_uri is not None and not batch.revoked and batch.id in indices:
            by_list.setdefault(batch.status_uri, []).append(batch)
    found: list[Batch] = []
    for uri in sorted(by_list, key=lambda _: wallet.randomness(8)):
        held = {index for batch in by_list[uri] for index in indices[batch.id]}
        invalid = _invalid(wallet, uri, held)
        found += [batch for batch in by_list[uri] if indices[batch.id] & invalid]
    if found:
        with wallet.vault.writing() as rows:
            for batch in found:
                rows.put("batch", replace(batch, revoked=True).body(), id=batch.id)
                write_log(rows, _entry(wallet, batch))
    return tuple(dict.fromkeys(batch.configuration for batch in found))


def _invalid(wallet: Wallet, uri: str, indices: Collection[int]) -> frozenset[int]:
    """Those of ``indices`` that the list at ``uri`` calls invalid."""
    try:
        refuse_tracking_uri(uri)
        answer = wallet.egress.get(uri, accept=LIST_TYPE)
        if answer.status != 200:
            return frozenset()
        signed = open_token(answer.body, encoding="jwt", trust=wallet.trust(), now=wallet.now())
        if signed.uri != uri:
            return frozenset()
        return frozenset(index for index in indices if signed.list.get(index) == INVALID)
    except (NetworkUnavailable, Refusal, Undetermined):
        return frozenset()


def _entry(wallet: Wallet, batch: Batch) -> Entry:
    return Entry(
        when=wallet.now(),
        event="revoked",
        who=wallet.issuer_name(batch.issuer),
        party=hashlib.sha256(batch.issuer.encode()).hexdigest(),
        purpose={},
        types=(wallet.catalogue.by_identifier(batch.type).name,),
    )
