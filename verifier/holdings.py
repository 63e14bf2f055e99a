"""What the verifier carries: the trust list and the status lists, on disk, fetched ahead of time.

``DATA/published`` is a link to one complete set. ``sync`` builds the next set beside it, checks everything in
it, and moves the link: a reader sees the old set or the new one. A server sees the move at its next check.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final, Protocol

from credentials.calendar import DAY, start_of
from credentials.catalog import load_catalogue
from credentials.encoding import load_json_object
from credentials.errors import (
    BauhiniaError,
    FileUnreadable,
    StatusListInvalid,
    StatusStale,
    TrustListExpired,
)
from credentials.keys import PublicKey
from credentials.model import Seconds
from credentials.trust import Trust, open_trust_list
from openid4vc.members import Members
from revocation.publish import INDEX, TRUST_LIST
from revocation.token import Encoding, SignedList, open_token, parse_token
from web.keyfiles import read_file, replace_file

from .offline import guard

LINK: Final = "published"
ENCODINGS: Final[tuple[Encoding, ...]] = ("jwt", "cwt")
MAX_LISTS: Final = 5000
_MAX_OPEN: Final = 256


class Newest(Protocol):
    """Where the highest numbers seen are kept (the store)."""

    def newest(self) -> Mapping[str, int]: ...

    def remember_newest(self, numbers: Mapping[str, int]) -> None: ...


@dataclass(slots=True)
class HeldLists:
    """Status lists by URI, opened at first need; implements ``revocation.check.Lists``."""

    folder: Path
    trust: Trust
    now: Callable[[], Seconds]
    newest: Mapping[str, int]
    _open: dict[tuple[str, str], SignedList | None] = field(
        default_factory=dict[tuple[str, str], "SignedList | None"]
    )

    def get(self, uri: str, encoding: Encoding) -> SignedList | None:
        key = (uri, encoding)
        if key not in self._open:
            if len(self._open) >= _MAX_OPEN:
                self._open.clear()
            self._open[key] = self._load(uri, encoding)
        return self._open[key]

    def _load(self, uri: str, encoding: Encoding) -> SignedList | None:
        path = self.folder / "lists" / _file_name(uri, encoding)
        if not path.is_file():
            return None
        try:
            return open_token(
                path.read_bytes(),
                encoding=encoding,
                trust=self.trust,
                now=self.now(),
                newest_issued=self.newest.get(_number_name(uri, encoding), 0),
            )
        except BauhiniaError:
            # It was good when it was fetched: expired, or damaged since. Either way there is no list.
            return None


@dataclass(frozen=True, slots=True)
class Held:
    """One complete set, opened."""

    trust: Trust
    lists: HeldLists


class Holdings:
    """The current set under ``data``; reopened when the link has moved."""

    def __init__(self, data: Path, *, root: PublicKey, numbers: Newest, now: Callable[[], Seconds]) -> None:
        self._data = data
        self._root = root
        self._numbers = numbers
        self._now = now
        self._opened: tuple[Path, Held] | None = None

    def current(self) -> Held:
        """Raises what :func:`credentials.trust.open_trust_list` raises, or :class:`FileUnreadable`."""
        folder = (self._data / LINK).resolve()
        if self._opened is None or self._opened[0] != folder:
            newest = self._numbers.newest()
            # The store may be another machine; from here on all is at hand.
            with guard():
                trust = open_trust_list(
                    read_file(folder / TRUST_LIST),
                    root=self._root,
                    now=self._now(),
                    newest_sequence=newest.get("trust", 0),
                )
            self._opened = folder, Held(trust, HeldLists(folder, trust, self._now, newest))
        held = self._opened[1]
        if self._now() >= held.trust.expires:
            raise TrustListExpired("the trust list has expired")
        return held


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync left here: ``lists``, of which ``given`` came from the mirror; ``stale`` came expired.

    ``kept`` are the URIs of lists that a mirror held back and that still hold as they are here; ``lost`` of
    those that it held back and that do not hold any more. A list whose window is over is neither.
    """

    sequence: int
    expires: Seconds
    lists: int
    given: int
    stale: int
    kept: tuple[str, ...]
    lost: tuple[str, ...]


def sync(
    read: Callable[[str], bytes],
    *,
    data: Path,
    root: PublicKey,
    numbers: Newest,
    now: Seconds,
    progress: Callable[[list[tuple[str, Encoding, str]]], Iterable[tuple[str, Encoding, str]]] = iter,
) -> Synced:
    """Take over a publication: ``read`` gives the bytes of a relative path, from a folder or a mirror.

    All of it is verified before anything is replaced; one bad file and nothing changes. The index is not
    signed: a list that it leaves out stays as it is here, for a mirror must not make a revocation unknown.
    Raises what :func:`open_trust_list` and :func:`open_token` raise.
    """
    # 1. The trust list, signed by the pinned root, not older than one seen.
    newest = numbers.newest()
    trust_list = read(TRUST_LIST)
    trust = open_trust_list(trust_list, root=root, now=now, newest_sequence=newest.get("trust", 0))
    # 2. Every list of the index, in both encodings, under the name it calls itself.
    files: dict[str, bytes] = {}
    seen = {"trust": trust.sequence}
    stale = 0
    for uri, encoding, path in progress(_index(read(INDEX))):
        number = _number_name(uri, encoding)
        token = read(path)
        try:
            opened = open_token(
                token, encoding=encoding, trust=trust, now=now, newest_issued=newest.get(number, 0)
            )
        except StatusStale:
            stale += 1
            continue
        if opened.uri != uri:
            raise StatusListInvalid("a status list calls itself by another name than the index does")
        files[_file_name(uri, encoding)] = token
        seen[number] = opened.issued
    # 3. What is here already and was not given anew.
    kept: set[str] = set()
    lost: set[str] = set()
    given = len(files)
    for name, uri, held in _missing(data, dict(files), trust=trust, newest=newest, now=now):
        if held is not None:
            files[name] = held
        (lost if held is None else kept).add(uri)
    # 4. Replace all at once, and from now on take nothing older.
    replace(data, trust_list, files)
    numbers.remember_newest(seen)
    return Synced(
        sequence=trust.sequence,
        expires=trust.expires,
        lists=len(files),
        given=given,
        stale=stale,
        kept=tuple(sorted(kept)),
        lost=tuple(sorted(lost)),
    )


def _missing(
    data: Path, files: Mapping[str, bytes], *, trust: Trust, newest: Mapping[str, int], now: Seconds
) -> Iterator[tuple[str, str, bytes | None]]:
    """The lists here that ``files`` lacks: file name, URI, and the token where it still holds."""
    for path in sorted((data / LINK / "lists").glob("*")):
        encoding: Encoding = "cwt" if path.suffix == ".cwt" else "jwt"
        if path.name in files:
            continue
        try:
            token = read_file(path)
            uri = parse_token(token, encoding=encoding).uri
        except BauhiniaError:
            continue  # damaged here: there was no list before either
        if _is_over(uri, now):
            continue
        try:
            number = newest.get(_number_name(uri, encoding), 0)
            open_token(token, encoding=encoding, trust=trust, now=now, newest_issued=number)
        except BauhiniaError:
            yield path.name, uri, None
        else:
            yield path.name, uri, token


def _is_over(uri: str, now: Seconds) -> bool:
    """Whether every credential in the window of this list has expired, as far as its name tells."""
    *_, slug, day = uri.split("/")
    days = [type_.validity_days for type_ in load_catalogue().types.values() if type_.slug == slug]
    try:
        start = start_of(date.fromisoformat(day))
    except ValueError:
        return False
    return bool(days) and now >= start + days[0] * DAY


def replace(data: Path, trust_list: bytes, lists: Mapping[str, bytes]) -> None:
    """Write a new set and move the link to it in one step."""
    link = data / LINK
    old = link.resolve() if link.is_symlink() else None
    number = 1 + max((int(path.name.rpartition("-")[2]) for path in data.glob(f"{LINK}-*")), default=0)
    folder = data / f"{LINK}-{number}"
    replace_file(folder / TRUST_LIST, trust_list)
    for name, token in lists.items():
        replace_file(folder / "lists" / name, token)
    beside = data / f".{LINK}"
    try:
        beside.unlink(missing_ok=True)
        beside.symlink_to(folder.name, target_is_directory=True)
        beside.replace(link)
    except OSError as error:
        raise FileUnreadable(f"cannot replace {link}: {error.strerror}") from None
    # A check that is under way keeps what it opened; lists it did not open yet count as absent.
    if old is not None and old != folder.resolve():
        shutil.rmtree(old, ignore_errors=True)


def _index(data: bytes) -> list[tuple[str, Encoding, str]]:
    """The lists of an index: URI, encoding, relative path. A path cannot leave the publication."""
    index = Members(load_json_object(data), refusal=StatusListInvalid, where="status index")
    found: list[tuple[str, Encoding, str]] = []
    if index.raw("lists") == []:
        return found
    for entry in index.members("lists", limit=MAX_LISTS):
        for encoding in ENCODINGS:
            path = entry.text(encoding, limit=300)
            parts = path.split("/")
            if (
                not path.isascii()
                or "\\" in path
                or {"", ".", ".."} & set(parts)
                or "%" in path
                or "?" in path
            ):
                raise entry.refuse(encoding, "is not a plain relative path")
            found.append((entry.text("uri", limit=300), encoding, path))
    return found


def _file_name(uri: str, encoding: Encoding) -> str:
    return f"{hashlib.sha256(uri.encode()).hexdigest()}.{encoding}"


def _number_name(uri: str, encoding: Encoding) -> str:
    return f"{encoding} {uri}"
