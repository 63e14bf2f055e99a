"""V1: nothing undisclosed is seen by a verifier, nor computed from what it sees, nor kept by others."""

from __future__ import annotations

import base64
import hashlib
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canary import layers, search, spellings
from issuer_fixture import PEOPLE
from test_journey import outcome
from world import FORMATS, World, policy

from credentials import formats
from credentials.calendar import PartialDate
from credentials.encoding import b64u, dump_json
from credentials.errors import OverAsking
from credentials.hkid import Hkid, check_character, of_body
from credentials.model import EVERYTHING
from issuer.person import Person
from openid4vc.vpresponse import parse_response
from wallet import presenting
from wallet.records import Batch
from wallet.wallet import Wallet
from web import qr

BOTH = pytest.mark.parametrize("format", list(FORMATS))
NUMBER = of_body("Q918273")
BORN = PartialDate(1961, 3, 17)
CANARY = replace(
    PEOPLE.adult,
    identity=NUMBER,
    birth=BORN,
    resident_since=BORN.earliest(),
    family_name="Wyxqavel",
    given_name="Jbrondulf Kvisteq",
    name_zh="霰霈霨",
    name_zh_ccc="9977 9983 9991",
    card_first_registered="2007-11",
    guardian=None,
    # A pensioner as well as a student, to have as many credentials as possible.
    reported={**PEOPLE.elder.reported, "enrolled_student": True, "receives_da": True},
)
SHOWN = {"sex": 2}
POLICIES = (
    policy("sex-alone", "base/1", ["sex"]),
    policy("resident-in-the-clear", "residency/1", ["is_hk_resident"]),
    policy("student-in-the-clear", "eligibility/tsfs/1", ["eligible"]),
    policy("adult-in-the-clear", "age/1", ["age_over_18"], expect={"age_over_18": False}),
)


def undisclosed(person: Person) -> list[str]:
    """What no verifier of this test may learn of the person, each as people and programs write it."""
    number = person.identity
    assert isinstance(number, Hkid)
    spaced = f"{number.body[:-6]} {number.body[-6:]} ({number.check})"
    born = person.birth.earliest()
    return [
        person.family_name,
        person.family_name.upper(),
        person.family_name.lower(),
        person.given_name,
        person.given_name.split()[0],
        person.given_name.split()[1],
        f"{person.family_name} {person.given_name}",
        person.name_zh,
        person.name_zh_ccc,
        person.name_zh_ccc.replace(" ", ""),
        str(person.birth),
        born.strftime("%Y%m%d"),
        born.strftime("%d/%m/%Y"),
        born.strftime("%d-%m-%Y"),
        person.card_first_registered,
        number.canonical,
        number.canonical.lower(),
        f"{number.body}{number.check}",
        f"{number.body}({number.check})",
        spaced,
    ]


class Journey:
    """One person with canaries and everything they may have; the shops they go to; what was seen there."""

    def __init__(self, folder: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.format = format
        self.world = World(folder, people=[CANARY], policies=POLICIES)
        self.decrypted: list[str] = []
        self.codes: list[str] = []
        inner = parse_response

        def watch(*arguments: Any, **named: Any) -> Any:
            opened = inner(*arguments, **named)
            self.decrypted.append(repr(opened))
            return opened

        # What came encrypted is seen by the verifier all the same.
        monkeypatch.setattr("verifier.verification.parse_response", watch)
        world = self.world
        enrolled = world.enrol(CANARY)
        self.wallet: Wallet = world.new_wallet()
        names = world.everything(enrolled, format)
        assert len(names) > 9
        assert all(item.error is None for item in world.accept(self.wallet, enrolled, names))
        world.publish()
        world.sync()
        self.enrolment = enrolled

    def run(self) -> None:
        world, wallet = self.world, self.wallet
        for name in ("liquor18", "resident-discount", "student-finance", *(str(p["name"]) for p in POLICIES)):
            found = world.check(name, wallet, self.format)
            assert found["outcome"] in ("accepted", "refused")
            assert found["disclosed"] != {}
        greedy = policy("liquor18", "base/1", ["family_name", "given_name", "birthdate"])
        greedy["allow_unregistered"] = True
        world.change(greedy)
        with pytest.raises(OverAsking):
            world.look(world.ask("liquor18", self.format), wallet)
        asked = world.ask("sex-alone", self.format)
        presenting.decline(wallet, world.look(asked, wallet))
        world.desk.issuer.revoke(self.enrolment.id)
        world.now += 60
        world.publish()
        world.sync()
        assert outcome(world.check("resident-discount", wallet, self.format)) == ("refused", "revoked")
        with world.client() as browser:
            browser.get("https://verifier.test/counter/sex-alone")
            self.codes.append(qr.svg(asked["link"]))

    def nullifiers(self) -> list[str]:
        """Scheme nullifiers are per person too; no shop of this test asks for one."""

        def strings(value: object) -> Iterator[str]:
            if isinstance(value, Mapping):
                for name, inner in value.items():
                    if isinstance(inner, Mapping):
                        yield from strings(inner)
                    elif name in ("scheme_nullifier", "nym"):
                        yield str(inner)

        found = [
            text for record in self.wallet.vault.records("batch") for text in strings(Batch.of(record).claims)
        ]
        assert len(found) > 4
        return found

    def seen_by_the_verifier(self) -> dict[str, bytes]:
        world = self.world
        shop = [one for one in world.exchanges if one.host == "verifier.test"]
        assert len(shop) > 7
        return {
            "requests": b"\n".join(one.sent for one in shop),
            "answers": b"\n".join(one.answered for one in shop),
            "decrypted responses": "\n".join(self.decrypted).encode(),
            "receipts": repr(world.shop.store.receipts()).encode(),
            "QR codes": "\n".join(self.codes).encode(),
            **files(world.shop.data, skip=("published",)),
        }


def files(folder: Path, *, skip: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Every file below ``folder``, journals among them."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).as_posix().startswith(skip)
    }


@pytest.mark.hostile("V1")
@BOTH
def test_v1_no_undisclosed_value_is_seen(
    tmp_path: Path,
    format: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither by the shops, nor in the issuer's store, nor in the vault's file, nor in any log."""
    caplog.set_level(logging.DEBUG)
    journey = Journey(tmp_path, format, monkeypatch)
    journey.run()
    world = journey.world
    personal = undisclosed(CANARY)
    secrets = [*journey.nullifiers(), journey.enrolment.id, journey.enrolment.passcode]
    seen = journey.seen_by_the_verifier()
    assert any(name.endswith("-wal") for name in seen), "the database was looked at in mid-flight"
    assert search(seen, [*personal, *secrets]) == []

    out, err = capfd.readouterr()
    logs = {"log": caplog.text.encode(), "stdout": out.encode(), "stderr": err.encode()}
    assert search(logs, [*personal, *secrets]) == []

    issuer = files(world.desk.place.data, skip=("register", "published", "signers"))
    assert "issuer.sqlite" in issuer
    assert search(issuer, personal) == []
    # Signed lists, for everybody to fetch: nothing personal in any of them as it is published.
    published = b"\0".join(files(world.desk.place.published).values())
    assert not any(spelt in published for value in personal for _, spelt in spellings(value))

    vault = {k: v for k, v in files(tmp_path).items() if k.startswith("wallet-")}
    assert any(name.endswith("vault.db") for name in vault)
    # The vault's file does not even say what kind of credentials there are, nor where they were shown.
    labels = ["age_over_18", "residency", "is_hk_resident", "verifier.test", "liquor18", "issuer.test"]
    assert search(vault, [*personal, *secrets, *labels]) == []


@pytest.mark.hostile("V1")
@BOTH
def test_v1_a_wallet_that_shows_too_much_is_found(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control: the same journey with a wallet that shows everything, and the search finds it."""
    journey = Journey(tmp_path, format, monkeypatch)

    class Generous:
        def present(self, credential: bytes, **arguments: Any) -> bytes:
            return formats.FORMATS[format].present(credential, **{**arguments, "show": EVERYTHING})

    monkeypatch.setattr("wallet.presenting.FORMATS", {format: Generous()})
    for name in ("sex-alone", "student-in-the-clear"):
        journey.world.check(name, journey.wallet, format)
    found = search(journey.seen_by_the_verifier(), undisclosed(CANARY)[:12])
    assert {line.partition(":")[0] for line in found} == {"requests", "decrypted responses"}
    # What was too much is dropped before anything is stored.
    assert search(files(journey.world.shop.data, skip=("published",)), undisclosed(CANARY)) == []
    nullifiers = search(journey.seen_by_the_verifier(), journey.nullifiers())
    assert nullifiers


PLANTS: Mapping[str, Callable[[bytes], bytes]] = {
    "as it is": lambda v: v,
    "in a disclosure": lambda v: b64u(dump_json(["c2FsdC1zYWx0LXNhbHQ", "family_name", v.decode()])).encode(),
    "base64 at offset 1": lambda v: base64.b64encode(b"x" + v + b"yy"),
    "base64 at offset 2": lambda v: base64.b64encode(b"xx" + v + b"y"),
    "base32": lambda v: base64.b32encode(b"abc" + v),
    "hexadecimal": lambda v: v.hex().encode(),
    "percent": lambda v: b"".join(b"%%%02X" % byte for byte in v),
    "JSON escapes": lambda v: "".join(f"\\u{ord(c):04x}" for c in v.decode()).encode(),
    "UTF-16": lambda v: v.decode().encode("utf-16-le"),
    "deflated": lambda v: zlib.compress(b"a b c " + v),
    "deflated, then base64": lambda v: base64.urlsafe_b64encode(zlib.compress(b"some text and " + v)),
    "hexadecimal in base64": lambda v: base64.b64encode(v.hex().encode()),
    "reversed": lambda v: v[::-1],
    "MD5": lambda v: hashlib.md5(v, usedforsecurity=False).hexdigest().encode(),
    "SHA-1": lambda v: hashlib.sha1(v, usedforsecurity=False).digest(),
    "SHA-256": lambda v: base64.b64encode(hashlib.sha256(v).digest()),
    "SHA-512": lambda v: b64u(hashlib.sha512(v).digest()).encode(),
    "half a SHA-256": lambda v: hashlib.sha256(v).digest()[:16],
}


@pytest.mark.hostile("V1")
@pytest.mark.parametrize("value", ["Wyxqavel", "霰霈霨", "1961-03-17", "Q918273"])
@pytest.mark.parametrize("plant", PLANTS)
def test_v1_the_search_finds_what_is_planted(plant: str, value: str) -> None:
    """Positive control of the search itself: each encoding, in the middle of other bytes."""
    noise = hashlib.shake_128(b"noise").digest(4000)
    planted = {"somewhere": noise[:2000] + b"\0" + PLANTS[plant](value.encode()) + b"\0" + noise[2000:]}
    assert search(planted, [value])
    assert search({"somewhere": noise}, [value]) == []


# --- An identity number is one of a million (or of 702 million in all): whoever has its hash has the number


PEOPLE_COUNT = 1_000_000
TRUNCATED = 8


def hashes_of_all_numbers(algorithm: str, spell: Callable[[str], str]) -> Any:
    """The first eight bytes of the hash of every number with the prefix Q, sorted."""
    make = getattr(hashlib, algorithm)
    packed = b"".join(
        make(spell(f"Q{number:06}").encode()).digest()[:TRUNCATED] for number in range(PEOPLE_COUNT)
    )
    return np.sort(np.frombuffer(packed, dtype=">u8").astype(np.uint64))


def windows(data: bytes) -> Any:
    """Every eight bytes in a row."""
    if len(data) < TRUNCATED:
        return np.empty(0, np.uint64)
    rows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), TRUNCATED)
    return np.ascontiguousarray(rows).view(">u8").reshape(-1).astype(np.uint64)


def known(seen: Mapping[str, bytes], numbers: Any) -> list[str]:
    """Places that hold the hash of a number, whole or cut to any 8 bytes or more from its start."""
    found: list[str] = []
    for place, data in seen.items():
        unpacked = np.unique(np.concatenate([windows(content) for _, content in layers(data)]))
        at = np.minimum(np.searchsorted(numbers, unpacked), len(numbers) - 1)
        if bool(np.any(numbers[at] == unpacked)):
            found.append(place)
    return found


@pytest.fixture(scope="module")
def numbers() -> Any:
    """SHA-256 of all million numbers, with and without the check character."""
    bare = hashes_of_all_numbers("sha256", str)
    checked = hashes_of_all_numbers("sha256", lambda body: f"{body}({check_character(body)})")
    return np.sort(np.concatenate([bare, checked]))


@pytest.mark.hostile("V1", "V9")
@BOTH
def test_v1_v9_no_hash_of_any_identity_number(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch, numbers: Any
) -> None:
    """Brute force over all the numbers there are, not over those that were in the room."""
    journey = Journey(tmp_path, format, monkeypatch)
    journey.run()
    seen = journey.seen_by_the_verifier()
    assert known(seen, numbers) == []
    assert (
        known(files(journey.world.desk.place.data, skip=("register", "published", "signers")), numbers) == []
    )
    leak = hashlib.sha256(NUMBER.canonical.encode()).digest()
    written = f"Q999999({check_character('Q999999')})".encode()
    for planted in (
        leak,
        leak[:16],
        b64u(leak).encode(),
        leak.hex().encode(),
        hashlib.sha256(written).digest(),
    ):
        assert known({"planted": seen["receipts"] + b"\0" + planted + b"\0"}, numbers) == ["planted"]
