"""Sign what the world may see (status lists, trust list, index) and put it in place."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from credentials.calendar import DAY
from credentials.errors import FileUnreadable
from credentials.keys import Signer
from credentials.model import Window
from revocation import publish
from revocation.statuslist import StatusList
from web.keyfiles import replace_file

from . import issuance
from .office import Issuer

_LAST: Final = (publish.TRUST_LIST, publish.INDEX)


def status_lists(issuer: Issuer) -> dict[str, StatusList]:
    """By URI: every list with copies still valid, or published before and not over for a day; and today's and
    tomorrow's of every type, issued or not.

    Tomorrow's is there already when its first copy is issued at midnight, and none goes missing, with copies
    or without, while verifiers would take that for a list held back. What is newly marked is written
    down before it is signed, decoys included: a publication that fails has the same marks the next time.
    """
    now = issuer.clock()
    store = issuer.store
    wanted: set[tuple[str, Window]] = {*store.lists(now=now), *store.published_lists(now=now)}
    for type in issuer.catalogue.types.values():
        if type.revocable:
            wanted |= {(type.name, issuance.window(type, now=day)) for day in (now, now + DAY)}
    lists: dict[str, StatusList] = {}
    for name, window in sorted(wanted, key=lambda one: (one[0], one[1].start)):
        uri = publish.uri(issuer.url, issuer.catalogue.types[name].slug, window.start)
        marks = store.publish_marks(
            name, window, now=now, draw=lambda taken: publish.draw_reserve(issuer.randomness, taken=taken)
        )
        lists[uri] = StatusList.with_invalid(marks, size=publish.LIST_SIZE)
    return lists


def publication(issuer: Issuer, *, signer: Signer, trust_list: bytes) -> dict[str, bytes]:
    """All files, by relative path. ``signer`` is the status signer.

    What has lapsed is marked before (:func:`issuer.lapse.revoke_lapsed`).
    """
    return publish.publication(
        status_lists(issuer), base=issuer.url, trust_list=trust_list, issued=issuer.clock(), signer=signer
    )


def put(files: Mapping[str, bytes], out: Path) -> Iterator[str]:
    """Write ``files`` below ``out``, yielding each path once it is staged; a reader never sees half a file.

    All are written beside their places first, so a full disk changes nothing; the index moves last, so it
    never names what is not there. Lists that are no longer published go after that.
    """
    ordered = sorted(files, key=lambda path: (path in _LAST, path))
    staged: list[tuple[Path, Path]] = []
    try:
        for path in ordered:
            target = out / path
            beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
            # Registered before it is written, so that a failure half-way is cleaned up too.
            staged.append((beside, target))
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(beside, files[path])
            yield path
        for beside, target in staged:
            beside.replace(target)
        _sync({target.parent for _, target in staged})
        for stale in _stale(out, files):
            stale.unlink(missing_ok=True)
    except OSError as error:
        raise FileUnreadable(f"cannot write {out}: {error.strerror}") from None
    finally:
        for beside, _ in staged:
            beside.unlink(missing_ok=True)


def _stale(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    found = [path for suffix in ("jwt", "cwt") for path in (out / "status").glob(f"*/*.{suffix}")]
    return [path for path in found if path.relative_to(out).as_posix() not in files]


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
