"""SD-JWT VC as it should work: what is asked for is shown, and nothing else, whatever the shape."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pki_fixture
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdjwt_forge import (
    CANARY,
    CNF,
    END,
    HOLDER,
    ISSUER,
    NOW,
    SESSION,
    SIGNER,
    START,
    VCT,
    Hidden,
    bind,
    check,
    claims,
    counting,
    digest,
    flat,
    hide,
    jws,
    members,
    plain,
    refused,
    shown,
)

from credentials.catalog import load_catalogue
from credentials.disclosures import is_flat, process_payload
from credentials.encoding import dump_json, load_json, unb64u
from credentials.errors import (
    BauhiniaError,
    CertificatePurpose,
    IssuerOutOfScope,
    MintRefused,
    NoMatchingCredential,
    RandomnessRepeated,
    Refusal,
    SignatureInvalid,
)
from credentials.jose import parse_compact
from credentials.model import EVERYTHING, ClaimPath, Claims, Disclosed, StatusRef, Value, Window
from credentials.sdjwt import FORMAT, issue, present, verify

VALUES: dict[str, Value] = {
    "age_over_18": True,
    "age_over_65": False,
    "tier": '文字 "quoted" \\ \u2028',
    "count": -5,
    "districts": ("a", "b"),
}
STATUS = StatusRef("https://bauhinia.example/status/test-1/2026-11-22", 77)


def issued(values: dict[str, Value] | None = None, **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "holder": HOLDER.public,
        "window": Window(START, END),
        "status": STATUS,
        "issuer": ISSUER,
        "signer": SIGNER,
        "randomness": counting(),
        **changes,
    }
    return issue(claims(VALUES if values is None else values, absent=("x", "y")), **arguments)


def shown_of(credential: bytes, show: Any) -> bytes:
    return present(credential, show=show, session=SESSION, holder=HOLDER, now=NOW, randomness=counting())


def payload_of(credential: bytes) -> dict[str, Any]:
    return parse_compact(credential.split(b"~")[0].decode(), typ=FORMAT).unverified()


def as_json(values: dict[str, Value]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def test_the_credential_says_this_and_no_more() -> None:
    payload = payload_of(issued())
    assert list(payload) == ["iss", "nbf", "exp", "vct", "cnf", "status", "_sd_alg", "_sd"]
    digests = payload.pop("_sd")
    assert payload == {
        "iss": ISSUER,
        "nbf": START,
        "exp": END,
        "vct": VCT,
        "cnf": CNF,
        "status": {"status_list": {"idx": STATUS.index, "uri": STATUS.uri}},
        "_sd_alg": "sha-256",
    }
    # A digest per claim of the type, present or not, in an order that says nothing.
    assert len(set(digests)) == len(VALUES) + 2
    assert digests == sorted(digests)
    assert "status" not in payload_of(issued(status=None))


def test_disclosures_are_salted_names_and_values() -> None:
    credential = issued()
    _, *disclosures, last = credential.decode().split("~")
    assert last == ""
    contents = [load_json(unb64u(text)) for text in disclosures]
    assert {name: value for _, name, value in contents} == as_json(VALUES)
    salts = [salt for salt, _, _ in contents]
    assert all(len(unb64u(salt)) == 16 for salt in salts)
    assert len(set(salts)) == len(salts)
    assert {digest(text) for text in disclosures} < set(payload_of(credential)["_sd"])


def test_copies_of_a_batch_share_nothing_that_links_them() -> None:
    randomness = counting()
    first, second = issued(randomness=randomness), issued(randomness=randomness)
    one, two = payload_of(first), payload_of(second)
    assert not set(one.pop("_sd")) & set(two.pop("_sd"))
    assert not set(first.split(b"~")[1:-1]) & set(second.split(b"~")[1:-1])
    assert one == two  # apart from cnf and status, which the caller gives each copy


def test_absent_claims_do_not_show() -> None:
    whole = issue(
        claims({"a": 1, "b": 2}),
        holder=HOLDER.public, window=Window(START, END), status=None,
        issuer=ISSUER, signer=SIGNER, randomness=counting(),
    )  # fmt: skip
    part = issue(
        claims({"a": 1}, absent=("b",)),
        holder=HOLDER.public, window=Window(START, END), status=None,
        issuer=ISSUER, signer=SIGNER, randomness=counting(),
    )  # fmt: skip
    assert len(payload_of(whole)["_sd"]) == len(payload_of(part)["_sd"])
    assert len(whole.split(b"~")[0]) == len(part.split(b"~")[0])


def test_minting_is_refused() -> None:
    foreign = replace(claims({"a": 1}), values={"b": CANARY})
    arguments: dict[str, Any] = {
        "holder": HOLDER.public,
        "window": Window(START, END),
        "status": None,
        "issuer": ISSUER,
        "signer": SIGNER,
        "randomness": counting(),
    }
    refused(MintRefused, lambda: issue(foreign, **arguments))
    right = claims({"a": CANARY, "b": CANARY})
    assert issue(right, **arguments)
    for change in ({"issuer": ""}, {"window": Window(END, START)}, {"window": Window(START, START)}):
        refused(MintRefused, lambda change=change: issue(right, **{**arguments, **change}))
    for randomness in (lambda size: b"\0" * size, lambda size: b"", lambda size: b"\1" * (size - 1)):
        refused(RandomnessRepeated, lambda r=randomness: issue(right, **{**arguments, "randomness": r}))
    short = counting()
    refused(RandomnessRepeated, lambda: issue(right, **{**arguments, "randomness": lambda n: short(n - 1)}))


def test_round_trip() -> None:
    disclosed = check(shown_of(issued(), EVERYTHING))
    assert disclosed == Disclosed(
        format="dc+sd-jwt",
        type=VCT,
        issuer=ISSUER,
        claims=as_json(VALUES),
        valid=Window(START, END),
        status=STATUS,
        holder=HOLDER.public.point,
        notes=(),
    )


def test_every_subset_shows_itself_and_nothing_else() -> None:
    credential = issued()
    for size in range(len(VALUES) + 1):
        for names in combinations(VALUES, size):
            token = shown_of(credential, [(name,) for name in names])
            assert check(token).claims == {n: v for n, v in as_json(VALUES).items() if n in names}
            texts = [unb64u(part) for part in token.split(b"~")[1:-1]]
            assert len(texts) == size


names = st.text(min_size=1, max_size=5).filter(
    lambda name: name not in {"_sd", "...", "_sd_alg", *members(), "status", "aud", "iat"}
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, json_values, max_size=6), st.data())
def test_property_any_subset_of_any_claims(values: dict[str, Any], data: st.DataObject) -> None:
    payload, disclosures = flat(values)
    credential = shown(jws(payload), *disclosures)
    chosen = data.draw(st.sets(st.sampled_from(sorted(values)))) if values else set[str]()
    token = shown_of(credential, [(name,) for name in chosen])
    assert check(token).claims == {name: values[name] for name in chosen}
    assert check(shown_of(credential, EVERYTHING)).claims == values


def tagged(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    maybe = below | below.map(Hidden)
    keys = st.dictionaries(names, st.tuples(st.booleans(), below), max_size=3)
    objects = keys.map(lambda d: {Hidden(k) if secret else k: v for k, (secret, v) in d.items()})
    return st.lists(maybe, max_size=3) | objects


trees = st.recursive(st.booleans() | st.integers(0, 9) | st.text(max_size=3), tagged, max_leaves=12)


def skeleton(value: Any) -> Any:
    """What stands in the clear: all hidden things gone."""
    if isinstance(value, dict):
        return {k: skeleton(v) for k, v in value.items() if not isinstance(k, Hidden)}
    if isinstance(value, list):
        return [skeleton(item) for item in value if not isinstance(item, Hidden)]
    return value


@given(st.dictionaries(names, trees, max_size=4))
def test_property_structured_and_recursive(claims_: dict[str, Any]) -> None:
    disclosures: list[str] = []
    payload = hide(claims_, disclosures, counting())
    assert process_payload(payload, disclosures) == plain(claims_)
    assert process_payload(payload, disclosures[::-1]) == plain(claims_)
    assert process_payload(payload, []) == skeleton(claims_)
    credential = shown(jws({**members(_sd=None), **payload}), *disclosures)
    assert check(shown_of(credential, EVERYTHING)).claims == plain(claims_)
    assert check(shown_of(credential, [])).claims == skeleton(claims_)
    for name in claims_:
        assert check(shown_of(credential, [(name,)])).claims == {
            **skeleton(claims_),
            name: plain(claims_[name]),
        }


NESTED = {
    Hidden("address"): {Hidden("street"): "s", Hidden("town"): "t", "land": "hk"},
    "list": [Hidden("a"), "b", Hidden({Hidden("c"): 1, "d": 2}), Hidden([Hidden(1), Hidden(2)])],
    Hidden("rows"): [{Hidden("k"): 1, "v": 1}, {Hidden("k"): 2, "v": 2}, {"v": 3}],
}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], {"list": ["b"]}),
        # A parent brings all it holds; a child brings its parents, not its siblings.
        ([("address",)], {"list": ["b"], "address": {"street": "s", "town": "t", "land": "hk"}}),
        ([("address", "town")], {"list": ["b"], "address": {"town": "t", "land": "hk"}}),
        ([("address", "land")], {"list": ["b"], "address": {"land": "hk"}}),
        ([("list", 0)], {"list": ["a", "b"]}),
        ([("list", 1)], {"list": ["b"]}),
        ([("list", 2, "d")], {"list": ["b", {"d": 2}]}),
        ([("list", 2, "c")], {"list": ["b", {"c": 1, "d": 2}]}),
        ([("list", 3, 1)], {"list": ["b", [2]]}),
        ([("list", 3, None)], {"list": ["b", [1, 2]]}),
        ([("list", 3)], {"list": ["b", [1, 2]]}),
        ([("list", None)], {"list": ["a", "b", {"c": 1, "d": 2}, [1, 2]]}),
        ([("list", 0), ("list", 3, 0)], {"list": ["a", "b", [1]]}),
        # ``None`` is every element that has what is asked.
        ([("rows", None, "k")], {"list": ["b"], "rows": [{"k": 1, "v": 1}, {"k": 2, "v": 2}, {"v": 3}]}),
        ([("rows", 1, "k")], {"list": ["b"], "rows": [{"v": 1}, {"k": 2, "v": 2}, {"v": 3}]}),
        ([("vct",)], {"list": ["b"]}),
        ([("cnf", "jwk", "kty")], {"list": ["b"]}),
    ],
    ids=str,
)  # fmt: skip
def test_paths(paths: list[ClaimPath], expected: dict[str, Any]) -> None:
    disclosures: list[str] = []
    payload = hide(NESTED, disclosures, counting())
    credential = shown(jws({**members(_sd=None), **payload}), *disclosures)
    assert check(shown_of(credential, paths)).claims == expected


@pytest.mark.parametrize(
    "path",
    [
        ("nothing",),
        ("address", "nothing"),
        ("address", 0),
        ("address", None),
        ("list", 4),
        ("list", -1),
        ("list", "0"),
        ("list", 1, "x"),
        ("rows", None, "nothing"),
        ("_sd",),
        ("_sd_alg",),
    ],
    ids=str,
)
def test_path_to_nothing(path: ClaimPath) -> None:
    disclosures: list[str] = []
    payload = hide(NESTED, disclosures, counting())
    credential = shown(jws({**members(_sd=None), **payload}), *disclosures)
    refused(NoMatchingCredential, lambda: shown_of(credential, [path]))
    refused(NoMatchingCredential, lambda: shown_of(credential, [("address",), path]))


def test_presentation_keeps_the_order_of_the_credential() -> None:
    credential = issued()
    _, *all_of_them, _ = credential.split(b"~")
    forward = shown_of(credential, [(name,) for name in VALUES])
    backward = shown_of(credential, [(name,) for name in reversed(VALUES)])
    assert forward == backward == shown_of(credential, EVERYTHING)
    assert forward.split(b"~")[1:-1] == all_of_them


def flips(token: bytes) -> int:
    """Flip each bit: an error of ours, or the same claims. How many were accepted."""
    right = check(token)
    accepted = 0
    for i in range(len(token)):
        for bit in range(8):
            spoiled = bytearray(token)
            spoiled[i] ^= 1 << bit
            try:
                assert check(bytes(spoiled)) == right
                accepted += 1
            except BauhiniaError as error:
                assert CANARY not in str(error)
    return accepted


def test_every_bit_counts() -> None:
    """Exhaustive: a presentation of three claims, every bit of it."""
    payload, disclosures = flat(
        {"a": CANARY, "b": 1, "c": [1, 2]}, status={"status_list": {"idx": 1, "uri": "u"}}
    )
    # Not one flip survives: signatures cover every byte before them, and base64url is exact.
    assert flips(bind(shown(jws(payload), *disclosures))) == 0


@given(st.data())
def test_truncated_or_repeated_presentations(data: st.DataObject) -> None:
    payload, disclosures = flat({"a": CANARY, "b": 1})
    token = bind(shown(jws(payload), *disclosures))
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    for spoiled in (token[:start] + token[end:], token[:end] + token[start:], token[:start], token[end:]):
        if spoiled != token:
            with pytest.raises(BauhiniaError):
                check(spoiled)


@given(st.binary(max_size=200))
def test_noise_is_refused_by_an_error_of_ours(noise: bytes) -> None:
    with pytest.raises(BauhiniaError):
        check(noise)
    with pytest.raises(BauhiniaError):
        shown_of(noise, EVERYTHING)


@given(json_values, st.lists(json_values, max_size=3))
def test_any_payload_and_disclosures_end_in_claims_or_an_error_of_ours(
    node: Any, contents: list[Any]
) -> None:
    from sdjwt_forge import raw_disclosure

    from credentials.encoding import dump_json

    disclosures = [raw_disclosure(dump_json(item)) for item in contents]
    payload: dict[str, Any] = {"n": node, "_sd": [digest(text) for text in dict.fromkeys(disclosures)]}
    try:
        process_payload(payload, disclosures)
    except BauhiniaError:
        pass


# --- with a real trust list and the real catalogue


def real(type_name: str, **changes: Any) -> tuple[bytes, str]:
    type_ = load_catalogue().types[type_name]
    values: dict[str, Value] = {
        claim.name: True for claim in type_.claims if claim.kind == "boolean" and claim.enum is None
    }
    arguments: dict[str, Any] = {
        "holder": HOLDER.public,
        "window": Window(pki_fixture.NOW - 3600, pki_fixture.NOW + 86_400),
        "status": None,
        "issuer": pki_fixture.ISSUER,
        "signer": pki_fixture.signer("dc+sd-jwt", type_name),
        "randomness": counting(),
        **changes,
    }
    credential = issue(Claims(type_, values), **arguments)
    now = pki_fixture.NOW
    token = present(
        credential, show=EVERYTHING, session=SESSION, holder=HOLDER, now=now, randomness=counting()
    )
    return token, type_.vct


def test_real_chain() -> None:
    token, vct = real("age/1")
    trust, now = pki_fixture.trust(), pki_fixture.NOW
    disclosed = verify(token, type=vct, session=SESSION, trust=trust, now=now)
    assert disclosed.issuer == pki_fixture.ISSUER
    assert disclosed.claims
    assert all(value is True for value in disclosed.claims.values())


def test_real_chain_for_something_else() -> None:
    trust, now = pki_fixture.trust(), pki_fixture.NOW
    token, vct = real("age/1", issuer="https://attacker.example")
    refused(IssuerOutOfScope, lambda: verify(token, type=vct, session=SESSION, trust=trust, now=now))
    token, vct = real("age/1", signer=pki_fixture.signer("mso_mdoc", "age/1"))
    refused(CertificatePurpose, lambda: verify(token, type=vct, session=SESSION, trust=trust, now=now))
    token, vct = real("age/1", signer=SIGNER)
    with pytest.raises(Refusal):
        verify(token, type=vct, session=SESSION, trust=trust, now=now)
    real_signer = pki_fixture.signer("dc+sd-jwt", "age/1")
    token, vct = real("age/1", signer=replace(real_signer, sign=SIGNER.sign))
    refused(SignatureInvalid, lambda: verify(token, type=vct, session=SESSION, trust=trust, now=now))


@pytest.mark.parametrize(
    ("payload", "flat"),
    [
        ({"a": {"b": 1}, "_sd_alg": "sha-256", "_sd": ["x"]}, True),
        ({"a": {"_sd": ["x"]}}, False),
        ({"a": {"_sd": ["x"]}, "_sd": ["y"]}, False),
        ({"a": {"b": {"_sd_alg": "sha-256"}}, "_sd_alg": "sha-256"}, False),
        ({"a": [{"...": "x"}]}, False),
        ({"a": "_sd", "_sd": []}, False),
    ],
)
def test_only_what_shows_no_digest_below_is_left_unwalked(payload: dict[str, Any], flat: bool) -> None:
    assert is_flat(payload, dump_json(payload)) is flat


def test_an_escape_in_the_text_hides_no_digest() -> None:
    text = b'{"a":{"\\u005fsd":["x"]}}'
    assert load_json(text) == {"a": {"_sd": ["x"]}}
    assert not is_flat(load_json(text), text)
