"""SD-JWT against RFC 9901, the SD-JWT VC draft and the authors' own test cases, and against their library."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import pytest
import yaml
from conftest import load_vectors, vectors
from jwcrypto.jwk import JWK
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier
from sdjwt_forge import (
    CNF,
    END,
    HOLDER,
    HOLDER_KEY,
    ISSUER,
    ISSUER_KEY,
    NOW,
    SESSION,
    SIGNER,
    START,
    VCT,
    Hidden,
    check,
    claims,
    counting,
    digest,
    hide,
    jws,
    members,
    plain,
    shown,
)

from credentials.disclosures import process_payload
from credentials.encoding import b64u, load_json, unb64u
from credentials.jose import encode_x5c, parse_compact
from credentials.keys import PublicKey
from credentials.model import EVERYTHING, Window
from credentials.sdjwt import issue, present

RFC = "sd-jwt-rfc9901", "rfc9901_examples.json"
VC = "sd-jwt-vc", "sd_jwt_vc_examples.json"


def examples(folder: str, file: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load_vectors(folder, file)["examples"]
    assert found
    return found


def test_disclosure_encodings() -> None:
    cases = load_vectors(*RFC)["disclosure_encodings"]
    assert len(cases) == 5
    for case in cases:
        contents, text = case["contents"], case["disclosure"]
        assert digest(text) == case["digest"]
        assert load_json(unb64u(text)) == contents
        if len(contents) == 3:
            payload: dict[str, Any] = {"_sd": [case["digest"]]}
            assert process_payload(payload, [text]) == {contents[1]: contents[2]}
        else:
            payload = {"array": [{"...": case["digest"]}]}
            assert process_payload(payload, [text]) == {"array": [contents[1]]}


def parts(example: dict[str, Any]) -> tuple[str, list[str], str]:
    """Issuer-signed JWT, disclosures and key-binding JWT of a presentation, whatever it is serialized as."""
    if "sd_jwt_json" in example:
        whole = example["sd_jwt_json"]
        signed = whole if "protected" in whole else whole["signatures"][0]
        header = signed["header"]
        jwt = f"{signed['protected']}.{whole['payload']}.{signed['signature']}"
        return jwt, header["disclosures"], header.get("kb_jwt", "")
    jwt, *disclosures, binding = example["sd_jwt_presentation"].split("~")
    return jwt, disclosures, binding


@pytest.mark.parametrize(("source", "count"), [(RFC, 9), (VC, 2)], ids=["rfc9901", "sd-jwt-vc"])
def test_everything_disclosed_is_what_went_in(source: tuple[str, str], count: int) -> None:
    found = [e for e in examples(*source) if "disclosures" in e and "user_claims" in e]
    assert len(found) == count
    for example in found:
        made = [d["disclosure"] if isinstance(d, dict) else d for d in example["disclosures"]]
        full = process_payload(example["sd_jwt_payload"], made)
        assert {name: full[name] for name in example["user_claims"]} == example["user_claims"]


@pytest.mark.parametrize(("source", "count"), [(RFC, 8), (VC, 3)], ids=["rfc9901", "sd-jwt-vc"])
def test_processed_payloads(source: tuple[str, str], count: int) -> None:
    found = [e for e in examples(*source) if "processed_payload" in e or "processed_payload_recomputed" in e]
    assert len(found) == count
    for example in found:
        expected = example.get("processed_payload", example.get("processed_payload_recomputed"))
        _, disclosures, _ = parts(example)
        assert process_payload(example["sd_jwt_payload"], disclosures) == expected, example["section"]


@pytest.mark.parametrize(("source", "bindings"), [(RFC, 5), (VC, 2)], ids=["rfc9901", "sd-jwt-vc"])
def test_signatures(source: tuple[str, str], bindings: int) -> None:
    keys = load_vectors(*source)["keys"]
    issuer = PublicKey.from_jwk(keys["issuer_public_jwk"])
    bound = 0
    for example in examples(*source):
        tokens = [example[name].split("~")[0] for name in ("sd_jwt_issuance",) if name in example]
        if "sd_jwt_json" in example or "sd_jwt_presentation" in example:
            jwt, disclosures, binding = parts(example)
            tokens.append(jwt)
            if binding:
                holder = PublicKey.from_jwk(example["sd_jwt_payload"]["cnf"]["jwk"])
                members_ = parse_compact(binding, typ="kb+jwt").verify(holder)
                assert members_ == example["kb_jwt_payload"]
                assert members_["sd_hash"] == b64u(hashlib.sha256(shown(jwt, *disclosures)).digest())
                bound += 1
        for jwt in tokens:
            typ = load_json(unb64u(jwt.split(".")[0]))["typ"]
            assert parse_compact(jwt, typ=typ).verify(issuer) == example["sd_jwt_payload"]
    assert bound == bindings


def test_second_signature_of_the_general_serialization() -> None:
    (example,) = [e for e in examples(*RFC) if len(e.get("sd_jwt_json", {}).get("signatures", ())) == 2]
    whole = example["sd_jwt_json"]
    second = whole["signatures"][1]
    jwt = f"{second['protected']}.{whole['payload']}.{second['signature']}"
    typ = load_json(unb64u(second["protected"]))["typ"]
    key = PublicKey.from_jwk(load_vectors(*RFC)["keys"]["issuer_key_2_public_jwk"])
    assert parse_compact(jwt, typ=typ).verify(key) == example["sd_jwt_payload"]


# --- the authors' test cases


class Tagged(yaml.SafeLoader):
    """YAML with ``!sd`` on member names and array elements."""


def _hidden(loader: Tagged, node: yaml.Node) -> Hidden:
    if isinstance(node, yaml.ScalarNode):
        # Resolve "42", "true", "null" as they would be without the tag.
        tag = cast(Any, loader).resolve(yaml.ScalarNode, node.value, (node.style is None, False))
        return Hidden(loader.construct_object(yaml.ScalarNode(tag, node.value), deep=True))
    if isinstance(node, yaml.SequenceNode):
        return Hidden(loader.construct_sequence(node, deep=True))
    assert isinstance(node, yaml.MappingNode)
    return Hidden(loader.construct_mapping(node, deep=True))


Tagged.add_constructor("!sd", _hidden)


def specifications(folder: str, *below: str) -> list[tuple[str, dict[str, Any]]]:
    root = vectors(folder).joinpath(*below)
    found = [
        (path.parent.name, yaml.load(path.read_text(encoding="utf-8"), Loader=Tagged))  # noqa: S506
        for path in sorted(root.glob("*/specification.yml"))
    ]
    assert found
    return found


def chosen(full: Any, wish: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The places that ``holder_disclosed_claims`` of the test cases selects, as far down as it goes."""
    if wish is True:
        return [place]
    if isinstance(wish, dict) and isinstance(full, dict):
        steps = [(name, below) for name, below in wish.items() if name in full]
        return [path for name, below in steps for path in chosen(full[name], below, (*place, name))]
    if isinstance(wish, list) and isinstance(full, list):
        return [
            path for i, below in enumerate(wish[: len(full)]) for path in chosen(full[i], below, (*place, i))
        ]
    return []


def issued_by_hand(user_claims: Any) -> bytes:
    disclosures: list[str] = []
    payload = hide(user_claims, disclosures, counting())
    return shown(jws({**members(_sd=None), **payload}), *disclosures)


TESTCASES = ("sd-jwt-python", "testcases")
ALL = [
    TESTCASES,
    ("sd-jwt-python", "examples"),
    ("sd-jwt-rfc9901", "specifications"),
    ("sd-jwt-vc", "specifications"),
]
OURS = {"iss", "nbf", "exp", "vct", "cnf", "iat", "status", "aud"}


@pytest.mark.parametrize("source", ALL, ids="/".join)
def test_specifications_shown_whole(source: tuple[str, ...]) -> None:
    """Every credential of the specification files: issued by hand, shown whole and verified by us."""
    for name, specification in specifications(*source):
        user = specification["user_claims"]
        user = {k: v for k, v in user.items() if (k.value if isinstance(k, Hidden) else k) not in OURS}
        credential = issued_by_hand(user)
        token = present(
            credential, show=EVERYTHING, session=SESSION, holder=HOLDER, now=NOW, randomness=counting()
        )
        assert check(token).claims == plain(user), name


# The library keeps what a test case leaves unsaid (an element that is not listed); our paths select
# only what is named. These cases name an element "False" beside others: nothing to select there.
def test_testcases_disclose_what_they_expect() -> None:
    compared = 0
    for name, case in specifications(*TESTCASES):
        expected = {k: v for k, v in case["expect_verified_user_claims"].items() if k not in OURS}
        user = case["user_claims"]
        credential = issued_by_hand(user)
        paths = chosen(plain(user), case["holder_disclosed_claims"])
        token = present(
            credential, show=paths, session=SESSION, holder=HOLDER, now=NOW, randomness=counting()
        )
        assert check(token).claims == expected, name
        compared += 1
    assert compared == 17


# --- the authors' library, with valid tokens only


def _sdobj(value: Any) -> Any:
    if isinstance(value, Hidden):
        return SDObj(_sdobj(value.value))
    if isinstance(value, dict):
        return {_sdobj(k): _sdobj(v) for k, v in value.items()}
    return [_sdobj(v) for v in value] if isinstance(value, list) else value


def _jwk(key: Any) -> JWK:
    return JWK.from_pyca(key)


@pytest.mark.filterwarnings("ignore")
def test_the_library_issues_and_presents_and_we_verify() -> None:
    compared = 0
    for name, case in specifications(*TESTCASES):
        if case.get("serialization_format") == "json":
            continue
        base = members(nbf=1, exp=2**40, cnf=None, _sd=None, _sd_alg=None)
        issuer = SDJWTIssuer(
            user_claims={**_sdobj(case["user_claims"]), **base},
            issuer_key=_jwk(ISSUER_KEY),
            holder_key=_jwk(HOLDER_KEY.public_key()),
            sign_alg="ES256",
            add_decoy_claims=True,
            extra_header_parameters={"typ": "dc+sd-jwt", "x5c": encode_x5c(SIGNER.chain)},
        )
        holder = SDJWTHolder(issuer.sd_jwt_issuance)
        holder.create_presentation(
            case["holder_disclosed_claims"],
            SESSION.nonce,
            SESSION.audience,
            _jwk(HOLDER_KEY),
            sign_alg="ES256",
        )
        token: str = holder.sd_jwt_presentation
        made = load_json(unb64u(token.split("~")[-1].split(".")[1]))["iat"]
        # The library takes the time from the clock: the same moment for us.
        expected = {k: v for k, v in case["expect_verified_user_claims"].items() if k not in OURS}
        assert check(token.encode(), now=made).claims == expected, name
        compared += 1
    assert compared >= 15


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("show", [[], [("a",)], [("a",), ("c",)], EVERYTHING])
def test_we_issue_and_present_and_the_library_verifies(show: Any) -> None:
    values = {"a": True, "b": "文字", "c": 7, "d": ("x", "y")}
    credential = issue(
        claims(values, absent=("e", "f")),
        holder=HOLDER.public,
        window=Window(START, END),
        status=None,
        issuer=ISSUER,
        signer=SIGNER,
        randomness=counting(),
    )
    token = present(credential, show=show, session=SESSION, holder=HOLDER, now=NOW, randomness=counting())

    def key_of(issuer: str, header: dict[str, Any]) -> JWK:
        assert issuer == ISSUER
        assert header["typ"] == "dc+sd-jwt"
        return _jwk(ISSUER_KEY.public_key())

    verified = SDJWTVerifier(token.decode(), key_of, SESSION.audience, SESSION.nonce).get_verified_payload()
    base = {"iss": ISSUER, "nbf": START, "exp": END, "vct": VCT, "cnf": CNF}
    assert verified == {**base, **check(token).claims}
    # Its holder reads what our issuer makes, too, and presents it at the clock's moment.
    forever = issue(
        claims(values, absent=("e", "f")),
        holder=HOLDER.public,
        window=Window(1, 2**40),
        status=None,
        issuer=ISSUER,
        signer=SIGNER,
        randomness=counting(),
    )
    holder = SDJWTHolder(forever.decode())
    holder.create_presentation(
        {"b": True}, SESSION.nonce, SESSION.audience, _jwk(HOLDER_KEY), sign_alg="ES256"
    )
    theirs: str = holder.sd_jwt_presentation
    made = load_json(unb64u(theirs.split("~")[-1].split(".")[1]))["iat"]
    assert check(theirs.encode(), now=made).claims == {"b": "文字"}
