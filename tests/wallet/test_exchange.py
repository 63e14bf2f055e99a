"""With issuers: what is accepted, what is refused, what survives a lost answer, what fetches again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pki_fixture import ISSUER, NOW, development_pki
from wallet_parties import ADULT, TX_CODE, World

from bauhinia.pki import make_pki
from credentials.calendar import DAY, midnight, window
from credentials.encoding import b64u, dump_json, load_json_object, unb64u
from credentials.errors import (
    AlgorithmRefused,
    BauhiniaError,
    ChainInvalid,
    CredentialNotAccepted,
    HolderBindingInvalid,
    IssuerMixUp,
    IssuerOutOfScope,
    IssuerUnknown,
    MetadataInvalid,
    NetworkUnavailable,
    OfferInvalid,
    PeerRefused,
    ResponseInvalid,
    SignatureInvalid,
    StateMismatch,
    TrustListExpired,
    TxCodeInvalid,
    TypeMismatch,
    UriRefused,
)
from credentials.keys import PublicKey, software_sign
from credentials.model import Window
from credentials.trust import sign_trust_list
from openid4vc.vci import AuthorizationCodeOffer, Offer, offer_link
from wallet.exchange import accept, begin_sign_in, finish_sign_in, open_offer, sync
from wallet.holding import DAILY_SPREAD
from wallet.records import Copy
from wallet.vault import Vault
from wallet.wallet import LOG_LIMIT

BOTH = ("age-1.sd-jwt", "age-1.mdoc")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.vault.close()


def copies(world: World) -> list[Copy]:
    return [Copy.of(record) for record in world.vault.records("copy")]


def nothing_kept(world: World) -> None:
    assert world.vault.records("batch") == []
    assert world.vault.records("copy") == []
    assert world.vault.records("pending") == []


# --- accepting


@pytest.mark.parametrize("by_reference", [True, False])
def test_an_offer_is_accepted(world: World, by_reference: bool) -> None:
    link = offer_link(f"{ISSUER}/offers/1" if by_reference else world.issuer.offer())
    received = accept(world.wallet, open_offer(world.wallet, link), tx_code=TX_CODE)
    assert [(item.configuration, item.copies, item.error) for item in received] == [("age-1.sd-jwt", 4, None)]
    (holding,) = world.wallet.holdings()
    assert holding.unspent == 4
    assert holding.batch.claims == ADULT
    assert holding.batch.window == window(world.time, 7)
    assert world.issuer.notifications == ["credential_accepted"]
    assert [entry.event for entry in world.wallet.log()] == ["accepted"]
    assert world.vault.records("pending") == []


def test_every_type_and_format_the_catalogue_has_a_value_for(world: World) -> None:
    names = (*BOTH, "residency-1.sd-jwt", "residency-1.mdoc")
    received = accept(world.wallet, world.issuer.offer(*names, tx_code=False))
    assert [item.error for item in received] == [None] * 4
    assert {h.batch.status_uri for h in world.wallet.holdings() if "residency" in h.batch.configuration} == {
        f"{ISSUER}/status/residency-1/2026-11-22"
    }


def test_keys_are_fresh_for_every_copy_and_no_two_batches_share_a_dpop_key(world: World) -> None:
    world.stocked(*BOTH)
    keys = [copy.key.scalar for copy in copies(world) if copy.key]
    assert len(set(keys)) == 8
    (grant,) = world.wallet.grants()
    assert grant.key.scalar not in keys
    first = grant.key
    world.stocked("age-1.sd-jwt")
    assert first.scalar not in {
        g.key.scalar for g in world.wallet.grants() if "age-1.sd-jwt" in g.configurations
    }


def test_a_missing_transaction_code(world: World) -> None:
    with pytest.raises(TxCodeInvalid):
        accept(world.wallet, world.issuer.offer())
    assert world.requests == []


def test_a_wrong_transaction_code(world: World) -> None:
    with pytest.raises(TxCodeInvalid) as caught:
        accept(world.wallet, world.issuer.offer(), tx_code="000000")
    assert "000000" not in str(caught.value)
    nothing_kept(world)


def test_a_transaction_code_that_is_not_asked_for_is_not_sent(world: World) -> None:
    accept(world.wallet, world.issuer.offer(tx_code=False), tx_code=TX_CODE)
    assert "tx_code" not in world.issuer.seen[0][1]


def test_the_server_may_want_its_dpop_nonce(world: World) -> None:
    world.issuer.want_dpop_nonce = True
    assert accept(world.wallet, world.issuer.offer(), tx_code=TX_CODE)[0].copies == 4


def test_one_configuration_refused_does_not_lose_the_other(world: World) -> None:
    world.issuer.refusals["age-1.mdoc"] = "credential_request_denied"
    received = accept(world.wallet, world.issuer.offer(*BOTH, tx_code=False))
    assert [item.error.code if item.error else None for item in received] == [None, "issuance_refused"]
    (grant,) = world.wallet.grants()
    assert grant.configurations == ("age-1.sd-jwt",)


def test_all_refused_leaves_nothing(world: World) -> None:
    world.issuer.refusals["age-1.sd-jwt"] = "credential_request_denied"
    with pytest.raises(BauhiniaError) as caught:
        accept(world.wallet, world.issuer.offer(tx_code=False))
    assert caught.value.code == "issuance_refused"
    assert world.wallet.grants() == ()
    nothing_kept(world)


# --- a lost answer


def test_a_lost_answer_is_asked_for_again_with_the_same_body(world: World) -> None:
    world.issuer.lose = 2
    assert accept(world.wallet, world.issuer.offer(tx_code=False))[0].copies == 4
    sent = [r for r in world.requests if r.url.path == "/credential"]
    assert len(sent) == 3
    assert len({r.content for r in sent}) == 1
    assert len({r.headers["dpop"] for r in sent}) == 3


def test_after_a_crash_the_request_is_sent_again(world: World) -> None:
    world.issuer.batch = 30
    world.issuer.lose = 3
    with pytest.raises(NetworkUnavailable):
        accept(world.wallet, world.issuer.offer(tx_code=False))
    assert world.vault.records("copy") == []
    done = sync(world.wallet)
    assert [(item.copies, item.error) for item in done.received] == [(30, None)]
    assert len(world.issuer.kept) == 1
    assert world.vault.records("pending") == []


@pytest.mark.parametrize("refilling", [False, True])
def test_killed_between_sending_and_the_answer_the_same_body_goes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refilling: bool
) -> None:
    """The vault as it lies on disk while the request is under way is what a kill leaves behind."""
    world, left = World(tmp_path / "wallet"), tmp_path / "left"
    world.issuer.batch = 30
    if refilling:
        world.stocked("age-1.sd-jwt")
        spend_all(world)
    inner = world.issuer.answer

    def killed(request: httpx.Request) -> httpx.Response:
        answer = inner(request)
        if request.url.path == "/credential":
            shutil.copytree(world.folder, left)
            raise SystemExit
        return answer

    def fetch() -> None:
        if refilling:
            sync(world.wallet)
        else:
            accept(world.wallet, world.issuer.offer(tx_code=False))

    with monkeypatch.context() as patch:
        patch.setattr(world.issuer, "answer", killed)
        with pytest.raises(SystemExit):
            fetch()
    world.vault.close()
    again = Vault.open(
        left / "vault.db", "passphrase", randomness=os.urandom, stamp=left / "state" / "v.stamp"
    )
    wallet = replace(world.wallet, vault=again)
    world.time += 60
    done = sync(wallet)
    assert [(item.copies, item.error) for item in done.received] == [(30, None)]
    sent = [request for request in world.requests if request.url.path == "/credential"][-2:]
    assert sent[0].content == sent[1].content
    assert sent[0].headers["authorization"] == sent[1].headers["authorization"]
    keys = [read_dpop(request.headers["dpop"]) for request in sent]
    assert keys[0] == keys[1]
    # The issuer knew the body: one batch was made, and one is kept.
    assert len(world.issuer.kept) == 1 + refilling
    assert sum(holding.unspent for holding in wallet.holdings()) == 30
    assert again.records("pending") == []
    assert sync(wallet).received == ()
    again.close()


def read_dpop(proof: str) -> dict[str, Any]:
    """The key that a DPoP proof was made with."""
    found: dict[str, Any] = load_json_object(unb64u(proof.split(".")[0]))["jwk"]
    return found


def test_a_request_too_old_to_repeat_is_dropped(world: World) -> None:
    world.issuer.lose = 3
    with pytest.raises(NetworkUnavailable):
        accept(world.wallet, world.issuer.offer(tx_code=False))
    world.time += 700
    sync(world.wallet)
    assert len(world.issuer.kept) == 2
    assert world.vault.records("pending") == []


# --- I10: what was received is checked


def _alg_none(wire: list[bytes], asked: dict[str, Any]) -> list[bytes]:
    changed: list[bytes] = []
    for credential in wire:
        jwt, _, disclosures = credential.partition(b"~")
        header = b64u(dump_json({"alg": "none", "typ": "dc+sd-jwt"})).encode()
        changed.append(header + b"." + jwt.split(b".")[1] + b".~" + disclosures)
    return changed


def _flip_signature(wire: list[bytes], asked: dict[str, Any]) -> list[bytes]:
    changed: list[bytes] = []
    for credential in wire:
        jwt, _, rest = credential.partition(b"~")
        head, _, signature = jwt.rpartition(b".")
        raw = bytearray(unb64u(signature))
        raw[5] ^= 1
        changed.append(head + b"." + b64u(bytes(raw)).encode() + b"~" + rest)
    return changed


def _other_key(_: int, __: PublicKey) -> PublicKey:
    return PublicKey.of(ec.generate_private_key(ec.SECP256R1()).public_key())


FOREIGN = make_pki(issuer_url=ISSUER, verifier_url="https://verifier.test", now=NOW)


@pytest.mark.hostile("I10")
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_alg_none, AlgorithmRefused),
        (_flip_signature, SignatureInvalid),
        (lambda wire, _: wire[::-1], HolderBindingInvalid),
        (lambda wire, _: [], ResponseInvalid),
        (lambda wire, _: [wire[0], wire[0]], ResponseInvalid),
        (lambda wire, _: [w.rpartition(b"~")[0].rpartition(b"~")[0] + b"~" for w in wire], None),
    ],
)
def test_i10_spoiled_on_the_wire(world: World, spoil: Any, error: type[BauhiniaError] | None) -> None:
    world.issuer.spoil = spoil
    if error is None:
        # A copy that says less than the issuer signed still verifies: it is kept as it is.
        assert accept(world.wallet, world.issuer.offer(tx_code=False))[0].copies == 4
        return
    with pytest.raises(error) as caught:
        accept(world.wallet, world.issuer.offer(tx_code=False))
    assert type(caught.value).code == error.code
    nothing_kept(world)
    assert [entry.event for entry in world.wallet.log()] == ["refused"]


@pytest.mark.hostile("I10")
@pytest.mark.parametrize(
    ("name", "mint", "error"),
    [
        ("age-1.sd-jwt", {"signer": FOREIGN.signers["dc+sd-jwt", "age/1"].signer}, ChainInvalid),
        ("age-1.mdoc", {"signer": FOREIGN.signers["mso_mdoc", "age/1"].signer}, ChainInvalid),
        ("age-1.sd-jwt", {"issuer": "https://other.test"}, IssuerOutOfScope),
        ("age-1.sd-jwt", {"holder": _other_key}, HolderBindingInvalid),
        ("age-1.mdoc", {"holder": _other_key}, HolderBindingInvalid),
        ("age-1.sd-jwt", {"values": lambda _: {}}, CredentialNotAccepted),
        ("age-1.sd-jwt", {"values": lambda n: {**ADULT, "age_over_60": n == 0}}, CredentialNotAccepted),
        ("age-1.mdoc", {"values": lambda n: {**ADULT, "age_over_60": n == 0}}, CredentialNotAccepted),
        ("age-1.sd-jwt", {"window": Window(NOW + 60, NOW + 60 + 7 * DAY)}, CredentialNotAccepted),
        ("age-1.sd-jwt", {"window": replace(window(NOW, 8))}, CredentialNotAccepted),
        ("age-1.sd-jwt", {"status": True}, CredentialNotAccepted),
        ("residency-1.sd-jwt", {"status": False}, CredentialNotAccepted),
        ("residency-1.sd-jwt", {"index": lambda n: 77}, CredentialNotAccepted),
        ("residency-1.mdoc", {"index": lambda n: 5000 + 3 * n}, CredentialNotAccepted),
        ("residency-1.sd-jwt", {"uri": f"{ISSUER}/status/residency-1/2026-11-22?h=7"}, None),
        ("residency-1.sd-jwt", {"uri": f"{ISSUER}/status/residency-1/just-for-you"}, CredentialNotAccepted),
        ("residency-1.sd-jwt", {"uri": lambda n: f"{ISSUER}/status/residency-1/{n}"}, CredentialNotAccepted),
        (
            "residency-1.sd-jwt",
            {"uri": "https://other.test/status/residency-1/2026-11-22"},
            CredentialNotAccepted,
        ),
    ],
)
def test_i10_minted_wrong(
    world: World, name: str, mint: dict[str, Any], error: type[BauhiniaError] | None
) -> None:
    world.time = NOW + 7200
    world.issuer.mint = mint
    with pytest.raises(error or BauhiniaError) as caught:
        accept(world.wallet, world.issuer.offer(name, tx_code=False))
    assert caught.value.code == (error.code if error else caught.value.code)
    nothing_kept(world)
    assert world.issuer.notifications == ["credential_failure"]
    assert "60" not in str(caught.value)


@pytest.mark.hostile("I10")
def test_i10_another_type_than_asked_for(world: World) -> None:
    def swap(wire: list[bytes], asked: dict[str, Any]) -> list[bytes]:
        body = {**asked, "credential_configuration_id": "residency-1.sd-jwt"}
        return [
            item["credential"].encode()
            for item in world.issuer._issue(dump_json(body))["credentials"]  # pyright: ignore[reportPrivateUsage]
        ]

    def once(wire: list[bytes], asked: dict[str, Any]) -> list[bytes]:
        world.issuer.spoil = lambda w, _: w
        return swap(wire, asked)

    world.issuer.spoil = once
    with pytest.raises((TypeMismatch, IssuerOutOfScope, ChainInvalid)):
        accept(world.wallet, world.issuer.offer("age-1.sd-jwt", tx_code=False))
    nothing_kept(world)


@pytest.mark.hostile("I10")
@pytest.mark.parametrize("name", BOTH)
def test_i10_salts_repeated_across_the_batch(world: World, name: str) -> None:
    fixed = os.urandom(8192)

    class Tape:
        """Random bytes that can be wound back, so that every copy gets the same ones."""

        def __init__(self) -> None:
            self.at = 0

        def __call__(self, size: int) -> bytes:
            self.at += size
            return fixed[self.at - size : self.at]

    tape = Tape()

    def rewind(number: int) -> Any:
        tape.at = 0
        return ADULT

    world.issuer.mint = {"randomness": tape, "values": rewind}
    with pytest.raises(CredentialNotAccepted) as caught:
        accept(world.wallet, world.issuer.offer(name, tx_code=False))
    assert "salt" in str(caught.value)
    nothing_kept(world)


@pytest.mark.hostile("I10")
def test_i10_a_type_the_wallet_does_not_know(world: World) -> None:
    def foreign(kind: str, body: dict[str, Any]) -> dict[str, Any]:
        if kind == "issuer":
            body["credential_configurations_supported"]["age-1.sd-jwt"]["vct"] = "https://other.test/vct"
        return body

    world.issuer.metadata_spoil = foreign
    with pytest.raises(BauhiniaError) as caught:
        accept(world.wallet, world.issuer.offer(tx_code=False))
    assert caught.value.code == "type_mismatch"
    nothing_kept(world)


# --- V5: the batch must not tell the holder apart


@pytest.mark.hostile("V5")
def test_v5_the_issuer_learns_nothing_but_keys(world: World) -> None:
    world.stocked("age-1.sd-jwt")
    body = next(body for kind, body, _ in world.issuer.seen if kind == "credential")
    assert set(body) == {"credential_configuration_id", "proofs"}


@pytest.mark.hostile("V4")
def test_v4_no_header_tells_one_wallet_from_another(tmp_path: Path) -> None:
    seen: list[list[set[str]]] = []
    values: list[set[str]] = []
    for name in ("a", "b"):
        world = World(tmp_path / name).stocked(*BOTH)
        seen.append([set(request.headers) for request in world.requests])
        values.append(
            {request.headers["user-agent"] for request in world.requests}
            | {request.headers.get("cookie", "") for request in world.requests}
        )
        world.vault.close()
    assert seen[0] == seen[1]
    assert values[0] == values[1] == {"bauhinia", ""}


# --- I12: an offer is untrusted


@pytest.mark.hostile("I12")
@pytest.mark.parametrize(
    "uri",
    [
        "http://issuer.test/offers/1",
        "https://127.0.0.1/offers/1",
        "https://localhost/offers/1",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/offers/1",
        "https://0x7f000001/offers/1",
        "https://issuer.test@evil.test/offers/1",
        "https://evil.test/offers/1",
        "https://issuer.test:8443/offers/1",
        "https://issuer.test/../offers/1",
        "file:///etc/passwd",
    ],
)
def test_i12_offer_uri_of_a_stranger_is_not_fetched(world: World, uri: str) -> None:
    link = f"openid-credential-offer://?credential_offer_uri={uri}"
    with pytest.raises((UriRefused, IssuerUnknown)) as caught:
        open_offer(world.wallet, link)
    assert caught.value.code in {"uri_refused", "issuer_unknown"}
    assert world.requests == []


@pytest.mark.hostile("I12")
@pytest.mark.parametrize(
    "issuer", ["https://evil.test", f"{ISSUER}/", f"{ISSUER}/../evil", "https://issuer.test.evil.test"]
)
def test_i12_offer_of_a_stranger_by_value(world: World, issuer: str) -> None:
    link = offer_link(replace(world.issuer.offer(), issuer=issuer))
    with pytest.raises((IssuerUnknown, OfferInvalid)):
        open_offer(world.wallet, link)
    assert world.requests == []


@pytest.mark.hostile("I12")
def test_i12_offer_with_two_grants_is_not_guessed(world: World) -> None:
    offer = replace(world.issuer.offer(tx_code=False), authorization_code=AuthorizationCodeOffer("x"))
    with pytest.raises(OfferInvalid):
        accept(world.wallet, offer)
    assert world.requests == []


@pytest.mark.hostile("I12")
def test_i12_redirects_are_not_followed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "https://127.0.0.1/"})

    monkeypatch.setattr(world.issuer, "answer", moved)
    with pytest.raises(UriRefused):
        open_offer(world.wallet, offer_link(f"{ISSUER}/offers/1"))
    assert len(world.requests) == 1


# --- I16: mix-up


@pytest.mark.hostile("I16")
@pytest.mark.parametrize(
    ("kind", "change", "error"),
    [
        ("issuer", {"credential_issuer": "https://evil.test"}, MetadataInvalid),
        ("issuer", {"credential_issuer": f"{ISSUER}/"}, MetadataInvalid),
        ("issuer", {"authorization_servers": ["https://evil.test"]}, MetadataInvalid),
        ("issuer", {"credential_endpoint": "https://evil.test/credential"}, IssuerMixUp),
        ("issuer", {"nonce_endpoint": "https://evil.test/nonce"}, IssuerMixUp),
        ("issuer", {"notification_endpoint": "https://evil.test/n"}, IssuerMixUp),
        ("server", {"issuer": "https://evil.test"}, MetadataInvalid),
        ("server", {"token_endpoint": "https://evil.test/token"}, IssuerMixUp),
        ("server", {"authorization_endpoint": "https://evil.test/a"}, IssuerMixUp),
    ],
)
def test_i16_metadata_of_another(
    world: World, kind: str, change: dict[str, Any], error: type[BauhiniaError]
) -> None:
    world.issuer.metadata_spoil = lambda which, body: {**body, **change} if which == kind else body
    with pytest.raises(error) as caught:
        accept(world.wallet, world.issuer.offer(tx_code=False))
    assert type(caught.value) is error
    assert {request.url.path.split("/")[1] for request in world.requests} == {".well-known"}
    nothing_kept(world)


@pytest.mark.hostile("I16")
def test_i16_signed_in_elsewhere(world: World) -> None:
    url = begin_sign_in(world.wallet, Offer(ISSUER, ("age-1.sd-jwt",)))
    state = parse_qs(urlsplit(url).query)["state"][0]
    with pytest.raises(IssuerMixUp):
        finish_sign_in(world.wallet, {"code": "c", "state": state, "iss": "https://evil.test"})
    assert not [r for r in world.requests if r.url.path == "/token"]


# --- signing in


def test_signing_in(world: World) -> None:
    url = begin_sign_in(world.wallet, Offer(ISSUER, ("age-1.sd-jwt",), AuthorizationCodeOffer("from-offer")))
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{ISSUER}/authorize?")
    assert asked["client_id"] == "bauhinia-wallet"
    assert (asked["scope"], asked["issuer_state"], asked["code_challenge_method"]) == (
        "age-1",
        "from-offer",
        "S256",
    )
    back = f"{asked['redirect_uri']}?code=the-code&state={asked['state']}&iss={ISSUER}"
    assert finish_sign_in(world.wallet, back)[0].copies == 4
    assert world.issuer.seen[0][1]["code"] == "the-code"
    with pytest.raises(StateMismatch):
        finish_sign_in(world.wallet, back)


@pytest.mark.parametrize("late", [False, True])
def test_a_sign_in_that_was_not_begun_or_too_long_ago(world: World, late: bool) -> None:
    url = begin_sign_in(world.wallet, Offer(ISSUER, ("age-1.sd-jwt",)))
    state = parse_qs(urlsplit(url).query)["state"][0] if late else "another"
    world.time += 1000 if late else 0
    with pytest.raises(StateMismatch):
        finish_sign_in(world.wallet, {"code": "c", "state": state, "iss": ISSUER})


def test_the_issuer_said_no(world: World) -> None:
    url = begin_sign_in(world.wallet, Offer(ISSUER, ("age-1.sd-jwt",)))
    state = parse_qs(urlsplit(url).query)["state"][0]
    with pytest.raises(PeerRefused):
        finish_sign_in(world.wallet, {"error": "access_denied", "state": state, "iss": ISSUER})


# --- fetching again


def spend_all(world: World) -> None:
    from wallet.holding import spend

    for holding in world.wallet.holdings():
        with world.vault.writing() as rows:
            spend(rows, [holding.batch.id] * holding.unspent, randomness=os.urandom)


def test_nothing_is_due_after_a_full_batch(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.issuer.batch = 30
    world.stocked("age-1.sd-jwt")
    done = sync(world.wallet)
    assert (done.received, done.sign_in, done.trust_list) == ((), (), False)
    world.vault.close()


def test_spent_copies_are_fetched_again_with_a_rotated_token(world: World) -> None:
    world.stocked("age-1.sd-jwt")
    spend_all(world)
    first = world.wallet.grants()[0].refresh_token
    assert [item.copies for item in sync(world.wallet).received] == [4]
    (grant,) = world.wallet.grants()
    assert grant.refresh_token != first
    assert sum(h.unspent for h in world.wallet.holdings()) == 4
    assert [entry.event for entry in world.wallet.log()].count("refilled") == 1


def test_the_next_window_is_fetched_ahead_and_the_old_one_dropped_when_it_ends(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.issuer.batch = 30
    world.stocked("age-1.sd-jwt")
    (old,) = world.wallet.holdings()
    world.time = old.batch.refill_at
    assert [item.copies for item in sync(world.wallet).received] == [30]
    assert len(world.wallet.holdings()) == 2
    world.time = old.batch.window.end
    assert sync(world.wallet).discarded == 1
    world.vault.close()


def test_what_a_birthday_left_out_is_fetched_once_a_day_until_it_is_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.issuer.batch = 30
    partial = {name: value for name, value in ADULT.items() if name != "age_over_18"}
    world.issuer.mint = {"values": lambda _: partial}
    world.stocked("age-1.sd-jwt")
    tomorrow = midnight(world.time) + DAY
    # Today it cannot be there yet.
    world.time = tomorrow - 1
    assert sync(world.wallet).received == ()
    world.time = tomorrow + DAILY_SPREAD
    assert [item.copies for item in sync(world.wallet).received] == [30]
    # Still not there: not again before the next midnight.
    assert sync(world.wallet).received == ()
    world.time = tomorrow + DAY - 1
    assert sync(world.wallet).received == ()
    asked = [request.content for request in world.requests if request.url.path == "/token"][-1]
    world.issuer.mint = {}
    world.time = tomorrow + DAY + DAILY_SPREAD
    assert [item.copies for item in sync(world.wallet).received] == [30]
    assert "age_over_18" in world.wallet.holdings()[-1].batch.claims
    # A full batch waits for the end of its window as ever.
    world.time = tomorrow + 3 * DAY
    assert sync(world.wallet).received == ()
    # The issuer was asked as for any other batch.
    world.time = world.wallet.holdings()[-1].batch.refill_at
    sync(world.wallet)
    usual = [request.content for request in world.requests if request.url.path == "/token"][-1]
    assert [sorted(parse_qs(body.decode())) for body in (asked, usual)] == [
        ["grant_type", "refresh_token"]
    ] * 2
    bodies = [body for kind, body, _ in world.issuer.seen if kind == "credential"]
    assert {tuple(sorted(body)) for body in bodies} == {("credential_configuration_id", "proofs")}
    assert {len(body["proofs"]["jwt"]) for body in bodies} == {30}
    world.vault.close()


def test_a_refused_refresh_means_signing_in_again(world: World) -> None:
    world.stocked("age-1.sd-jwt")
    spend_all(world)
    world.issuer.refuse_refresh = True
    assert sync(world.wallet).sign_in == (ISSUER,)


def test_a_network_that_is_away_is_reported_not_raised(world: World) -> None:
    world.stocked("age-1.sd-jwt")
    spend_all(world)
    world.offline = True
    done = sync(world.wallet)
    assert [item.error.code for item in done.received if item.error] == ["network_unavailable"]


def _list(sequence: int, *, days: int = 100, issued: int = NOW) -> bytes:
    pki = development_pki()
    content = {**pki.content, "sequence": sequence, "issued": issued, "expires": issued + days * DAY}
    return sign_trust_list(content, software_sign(pki.list_key))


def test_a_newer_trust_list_is_learnt_and_an_older_one_is_not(world: World) -> None:
    world.issuer.trust_list = _list(5)
    assert sync(world.wallet).trust_list
    assert world.wallet.trust().sequence == 5
    world.issuer.trust_list = _list(4)
    assert not sync(world.wallet).trust_list
    assert world.wallet.trust().sequence == 5
    world.issuer.trust_list = b"garbage"
    assert not sync(world.wallet).trust_list


def test_an_expired_trust_list_is_replaced_by_sync(world: World) -> None:
    world.stocked("age-1.sd-jwt")
    world.time += 400 * DAY
    with pytest.raises(TrustListExpired):
        open_offer(world.wallet, offer_link(world.issuer.offer()))
    world.issuer.trust_list = _list(2, issued=world.time - DAY)
    assert sync(world.wallet).trust_list


def test_without_a_refresh_token_the_holder_signs_in(world: World) -> None:
    world.stocked("age-1.sd-jwt")
    (grant,) = world.wallet.grants()
    with world.vault.writing() as rows:
        rows.put("grant", replace(grant, refresh_token=None).body(), id=grant.id)
    assert sync(world.wallet, all=True).sign_in == (ISSUER,)


def test_the_log_does_not_outgrow_its_limit(world: World) -> None:
    from wallet.records import Entry
    from wallet.wallet import write_log

    with world.vault.writing() as rows:
        for number in range(LOG_LIMIT):
            rows.put("log", Entry(number, "shown", {}, "p", {}, serial=number).body())
    with world.vault.writing() as rows:
        write_log(rows, Entry(5000, "shown", {}, "p", {}))
    log = world.wallet.log()
    assert len(log) == LOG_LIMIT
    assert (log[0].when, log[-1].when) == (5000, 1)
