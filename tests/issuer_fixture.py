"""An issuer of the development PKI, in a directory of its own, driven by Flask's client at a fixed moment.

desk = Desk(tmp_path)
enrolled = desk.enrol("adult")
grant = desk.redeem(enrolled.id, ["age-1.sd-jwt"])
answer = desk.ask(grant, "age-1.sd-jwt", [new_key(), new_key()])
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from pki_fixture import ISSUER, NOW, development_pki, trust
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from credentials import calendar
from credentials.encoding import b64u
from credentials.formats import FORMATS
from credentials.hkid import Hkid
from credentials.keys import HolderKey, PublicKey, software_sign
from credentials.model import EVERYTHING, Disclosed, Session
from issuer.app import IssuerSettings, Place, create_app, write_settings
from issuer.office import Enrolled, Issuer
from issuer.population import demo_residents, population
from issuer.register import SqliteRegister
from issuer.schema import metadata
from issuer.setup import set_up
from openid4vc import oauth, vci
from openid4vc.uris import parse_query

IDS: Final = ("age-1.sd-jwt", "age-1.mdoc", "residency-1.sd-jwt", "residency-1.mdoc")
VERIFIER: Final = "v" * 43
REDIRECT: Final = "http://127.0.0.1:8403/signed-in"
RESIDENTS: Final = 60
TODAY: Final = calendar.day_of(NOW)
PEOPLE: Final = demo_residents(TODAY)


def new_key() -> HolderKey:
    key = ec.generate_private_key(ec.SECP256R1())
    return HolderKey(software_sign(key), PublicKey.of(key.public_key()))


def write_pki(folder: Path) -> Path:
    for name, content in development_pki().files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600 if path.suffix == ".key" else 0o644)
    return folder


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="bauhinia-issuer-"))

    def fill(register: SqliteRegister) -> int:
        return register.add(population(RESIDENTS, seed=7, today=TODAY))

    set_up(
        Place(folder / "issuer"),
        IssuerSettings(ISSUER),
        trust=write_pki(folder / "trust"),
        fill=fill,
        randomness=os.urandom,
        now=NOW,
    )
    return folder / "issuer"


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Granted:
    access_token: str
    refresh_token: str | None
    key: HolderKey = field(repr=False)


class Desk:
    """One issuer and what a wallet does with it, one step a method."""

    def __init__(self, folder: Path, *, settings: IssuerSettings | None = None) -> None:
        self.place = Place(folder / "issuer")
        shutil.copytree(_template(), self.place.data)
        if settings is not None:
            write_settings(self.place, settings)
        self.clock = Clock()
        self.app = create_app(self.place.data, clock=self.clock)
        self.client = self.app.test_client()
        self.issuer: Issuer = self.app.extensions["issuer"]
        self.store = self.issuer.store

    # --- the issuer's side

    def enrol(self, who: str, *, guardian: bool = False) -> Enrolled:
        return self.issuer.enrol(
            getattr(PEOPLE, who).identity, guardian=PEOPLE.adult.identity if guardian else None
        )

    def counts(self) -> dict[str, int]:
        """Rows per table that a refusal must not change: all but refusals, DPoP proofs, burned nonces."""
        spared = {"refusals", "dpop_proofs", "burned_nonces"}
        with self.store.engine.connect() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
                if table.name not in spared
            }

    # --- the wallet's side

    def get(self, path: str, **rest: Any) -> TestResponse:
        return self.client.get(path, base_url=ISSUER, **rest)

    def post(self, path: str, **rest: Any) -> TestResponse:
        return self.client.post(path, base_url=ISSUER, **rest)

    def proof(self, key: HolderKey, path: str, *, token: str | None = None, **members: Any) -> str:
        arguments: dict[str, Any] = {
            "method": "POST",
            "url": f"{ISSUER}{path}",
            "now": self.clock.now,
            "jti": b64u(os.urandom(16)),
            "nonce": None,
            "access_token": token,
        }
        return oauth.dpop_proof(key, **{**arguments, **members})

    def token(self, form: Mapping[str, str], key: HolderKey, **members: Any) -> TestResponse:
        return self.post("/token", data=dict(form), headers={"DPoP": self.proof(key, "/token", **members)})

    def offer(self, enrolment: str, ids: Sequence[str]) -> tuple[str, str | None]:
        """(pre-authorized code, tx_code), read the way a wallet reads them: by reference."""
        made = self.issuer.offer(enrolment, ids)
        link = vci.parse_offer_link(made.uri)
        assert isinstance(link, str)
        parsed = vci.parse_offer(self.get(link.removeprefix(ISSUER)).data)
        assert parsed.pre_authorized is not None
        return parsed.pre_authorized.code, made.tx_code

    def redeem(self, enrolment: str, ids: Sequence[str], key: HolderKey | None = None) -> Granted:
        key = key or new_key()
        code, tx_code = self.offer(enrolment, ids)
        answer = self.token(oauth.token_form(oauth.PreAuthorizedGrant(code, tx_code)), key)
        assert answer.status_code == 200, answer.data
        read = oauth.parse_token_response(answer.data)
        return Granted(read.access_token, read.refresh_token, key)

    def nonce(self) -> str:
        answer = self.post("/nonce")
        assert answer.headers["Cache-Control"] == "no-store"
        return vci.parse_nonce_response(answer.data)

    def body(self, id: str, keys: Sequence[HolderKey], *, nonce: str | None = None) -> dict[str, Any]:
        nonce = nonce or self.nonce()
        proofs = tuple(vci.proof_jwt(key, audience=ISSUER, nonce=nonce, now=self.clock.now) for key in keys)
        return vci.credential_request(vci.CredentialRequest(id, proofs))

    def send(
        self, grant: Granted, body: object, *, path: str = "/credential", key: HolderKey | None = None
    ) -> TestResponse:
        proof = self.proof(key or grant.key, path, token=grant.access_token)
        headers = {"Authorization": f"DPoP {grant.access_token}", "DPoP": proof}
        return self.post(path, json=body, headers=headers)

    def ask(self, grant: Granted, id: str, keys: Sequence[HolderKey]) -> vci.CredentialResponse:
        answer = self.send(grant, self.body(id, keys))
        assert answer.status_code == 200, answer.data
        return vci.parse_credential_response(answer.data, expected=len(keys))

    def read(self, credential: bytes, key: HolderKey, id: str) -> Disclosed:
        """What the copy says, as its wallet checks it: presented to itself and verified."""
        configuration = self.issuer.configuration(id)
        session = Session(audience="self", nonce=b64u(os.urandom(16)), response_uri="self")
        format_ = FORMATS[configuration.format]
        shown = format_.present(
            credential,
            show=EVERYTHING,
            session=session,
            holder=key,
            now=self.clock.now,
            randomness=os.urandom,
        )
        identifier = configuration.type.identifier(configuration.format)
        return format_.verify(
            shown, type=identifier, session=session, trust=trust(now=self.clock.now), now=self.clock.now
        )


def assert_refused(answer: TestResponse, code: str, error: str, status: int = 400) -> None:
    """Exactly this refusal, in ASCII, and nothing about the person in it."""
    body = answer.get_json()
    assert (body["code"], body["error"], answer.status_code) == (code, error, status)
    assert answer.headers["Cache-Control"] == "no-store"
    assert body["error_description"].isascii()
    assert_silent(answer.data)


def assert_silent(data: bytes) -> None:
    for person in PEOPLE:
        assert isinstance(person.identity, Hkid)
        for value in (person.identity.canonical, person.family_name, person.name_zh, str(person.birth)):
            assert value.encode() not in data


def authorize_fields(**members: Any) -> dict[str, str]:
    fields: dict[str, Any] = {
        "response_type": "code",
        "client_id": "bauhinia-wallet",
        "redirect_uri": REDIRECT,
        "state": "state-of-the-wallet",
        "code_challenge": oauth.code_challenge(VERIFIER),
        "code_challenge_method": "S256",
        "scope": "age-1 residency-1",
    }
    return {name: value for name, value in {**fields, **members}.items() if value is not None}


def sign_in(desk: Desk, enrolled: Enrolled, *, passcode: str | None = None, **members: Any) -> TestResponse:
    fields = authorize_fields(**members)
    page = desk.get("/authorize", query_string=fields)
    assert page.status_code == 200, page.data
    with desk.client.session_transaction(base_url=ISSUER) as session:
        token = session["csrf"]
    typed = {"sign_in_code": enrolled.sign_in_code, "passcode": passcode or enrolled.passcode}
    return desk.post("/authorize", data={**fields, **typed, "csrf_token": token})


def code_of(answer: TestResponse) -> str:
    assert answer.status_code == 303, answer.data
    query = answer.location.partition("?")[2]
    return oauth.parse_code_response(parse_query(query), state="state-of-the-wallet", issuer=ISSUER)


def code_form(earned: str, **members: Any) -> dict[str, str]:
    fields = oauth.token_form(oauth.CodeGrant(earned, REDIRECT, VERIFIER, "bauhinia-wallet"))
    return {name: value for name, value in {**fields, **members}.items() if value is not None}


def pre_authorized(desk: Desk, enrolled: Enrolled) -> tuple[str, str]:
    code, tx_code = desk.offer(enrolled.id, ["age-1.mdoc"])
    assert tx_code is not None
    return code, tx_code


def redeem_form(code: str, tx_code: str | None) -> dict[str, str]:
    return oauth.token_form(oauth.PreAuthorizedGrant(code, tx_code))
