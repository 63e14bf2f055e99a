"""Hostile SD-JWT: what a disclosure, a digest or a member must never achieve."""

from __future__ import annotations

from typing import Any

import pytest
from sdjwt_forge import (
    CANARY,
    CNF,
    END,
    ISSUER,
    NOW,
    START,
    VCT,
    bind,
    check,
    digest,
    disclosure,
    flat,
    jws,
    members,
    network,
    presentation,
    raw_disclosure,
    refused,
    shown,
)

from credentials.disclosures import process_payload
from credentials.encoding import b64u, dump_json
from credentials.errors import (
    BauhiniaError,
    ClaimCollision,
    ClaimMustNotHide,
    ClaimNameForbidden,
    CredentialExpired,
    CredentialNotYetValid,
    DigestAlgorithmRefused,
    DigestMismatch,
    DigestRepeated,
    DisclosureMalformed,
    HolderBindingMissing,
    IssuerOutOfScope,
    JwsMalformed,
    SdJwtMalformed,
    StatusReferenceInvalid,
    TypeMismatch,
    TypMismatch,
    ValidityMissing,
)
from credentials.model import StatusRef, Window
from credentials.sdjwt import verify

SALT = "_26bc4LT-ac6q2KI6cBW5es"
OTHER_SALT = "6Ij7tM-a5iVPGboS5tmvVA"


def under(node: Any, *disclosures: str, **changes: Any) -> bytes:
    """A presentation whose payload has ``node`` as the claim ``n``."""
    return presentation(members(n=node, **changes), *disclosures)


def hidden(*contents: Any) -> tuple[str, str]:
    made = disclosure(*contents)
    return made, digest(made)


@pytest.mark.hostile("S1")
def test_s1_disclosure_that_was_not_signed() -> None:
    payload, disclosures = flat({"a": 1, "b": CANARY})
    assert check(presentation(payload, *disclosures)).claims == {"a": 1, "b": CANARY}
    refused(DigestMismatch, lambda: check(presentation(payload, *disclosures, disclosure("c", CANARY))))
    for contents in ([SALT, "a", 2], [OTHER_SALT, "a", 1], [SALT, "b", 1]):
        forged = b64u(dump_json(contents))
        refused(DigestMismatch, lambda forged=forged: check(presentation(payload, forged, disclosures[1])))
    # The same contents written otherwise are another disclosure.
    spaced = raw_disclosure(f'["{SALT}", "a", 1]')
    tight = raw_disclosure(f'["{SALT}","a",1]')
    payload = members(_sd=[digest(tight)])
    assert check(presentation(payload, tight)).claims == {"a": 1}
    refused(DigestMismatch, lambda: check(presentation(payload, spaced)))


@pytest.mark.hostile("S1")
@pytest.mark.parametrize("bad", range(6))
def test_s1_only_one_of_many_is_forged(bad: int) -> None:
    payload, disclosures = flat({f"c{i}": CANARY for i in range(6)})
    disclosures[bad] = disclosure(f"c{bad}", CANARY)
    refused(DigestMismatch, lambda: check(presentation(payload, *disclosures)))


@pytest.mark.hostile("S2")
@pytest.mark.parametrize("present", [True, False])
def test_s2_digest_twice(present: bool) -> None:
    member, d = hidden("a", CANARY)
    element, e = hidden(CANARY)
    parent, p = hidden("p", {"_sd": [d]})
    cases: list[tuple[dict[str, Any], list[str]]] = [
        (members(_sd=[d, d]), [member]),
        (members(_sd=[d], n={"_sd": [d]}), [member]),
        (members(n={"_sd": [d]}, m={"_sd": [d]}), [member]),
        (members(_sd=[d], n=[{"...": d}]), [member]),
        (members(n=[{"...": e}, {"...": e}]), [element]),
        (members(n=[{"...": e}], m=[[{"...": e}]]), [element]),
    ]
    for payload, disclosures in cases:
        token = presentation(payload, *(disclosures if present else []))
        expected: type[BauhiniaError] = DigestRepeated
        if present and payload.get("n") == [{"...": d}]:
            # Read where it stands first, a member's disclosure in an array is wrong already.
            expected = DisclosureMalformed
        refused(expected, lambda token=token, expected=expected: check(token))
    # Once in the payload, once inside a disclosure.
    token = presentation(members(_sd=[d, p]), parent, member) if present else b""
    if present:
        refused(DigestRepeated, lambda: check(token))


@pytest.mark.hostile("S3")
@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_s3_reserved_name(name: str) -> None:
    made, d = hidden(name, [CANARY])
    refused(ClaimNameForbidden, lambda: check(presentation(members(_sd=[d]), made)))
    refused(ClaimNameForbidden, lambda: check(under({"_sd": [d]}, made)))
    outer, o = hidden("o", {"_sd": [d]})
    refused(ClaimNameForbidden, lambda: check(presentation(members(_sd=[o]), outer, made)))


@pytest.mark.hostile("S4")
def test_s4_name_that_is_taken() -> None:
    made, d = hidden("a", CANARY)
    again, e = hidden("a", 2)
    refused(ClaimCollision, lambda: check(presentation(members(_sd=[d], a=1), made)))
    refused(ClaimCollision, lambda: check(presentation(members(_sd=[d, e]), made, again)))
    refused(ClaimCollision, lambda: check(under({"a": 1, "_sd": [d]}, made)))
    assert check(under({"_sd": [d]}, made, a=1)).claims == {"a": 1, "n": {"a": CANARY}}
    everything: dict[str, Any] = {
        "status": {"status_list": {"idx": 1, "uri": "https://bauhinia.example/status"}},
        "vct#integrity": "sha256-x",
    }
    for name in ("iss", "vct", "cnf", "exp", "nbf", "status", "vct#integrity", "_sd_alg"):
        made, d = hidden(name, CANARY)
        expected = ClaimNameForbidden if name == "_sd_alg" else ClaimCollision
        token = presentation(members(_sd=[d], **everything), made)
        refused(expected, lambda token=token, expected=expected: check(token))


NEVER = {
    "iss": ISSUER,
    "nbf": START,
    "exp": END,
    "vct": VCT,
    "cnf": CNF,
    "status": {"status_list": {"idx": 1, "uri": "https://bauhinia.example/status"}},
    "vct#integrity": "sha256-x",
    "aka_vcts": [VCT],
}


@pytest.mark.hostile("S5")
@pytest.mark.parametrize("name", NEVER)
def test_s5_protocol_member_hidden(name: str) -> None:
    made, d = hidden(name, NEVER[name])
    payload = members(_sd=[d], **{name: None})
    refused(ClaimMustNotHide, lambda: check(presentation(payload, made)))
    # Withheld, it is simply not there: what is needed is missed, and missing status is for the status check.
    withheld = presentation(payload)
    missed: dict[str, type[BauhiniaError]] = {
        "nbf": ValidityMissing,
        "exp": ValidityMissing,
        "vct": TypeMismatch,
        "cnf": HolderBindingMissing,
    }
    if name in missed:
        refused(missed[name], lambda: check(withheld))
    else:
        assert (check(withheld).status, check(withheld).issuer) == (None, ISSUER)
    if name == "nbf":
        # Nor does a time of issue in its place make the hidden one good.
        refused(ClaimMustNotHide, lambda: check(presentation({**payload, "iat": START}, made)))


@pytest.mark.hostile("S5")
def test_s5_part_of_a_protocol_member_hidden() -> None:
    made, d = hidden("jwk", CNF["jwk"])
    for cnf in ({"_sd": [d]}, {**CNF, "_sd": [d]}):
        token = presentation(members(cnf=cnf), made)
        expected = ClaimCollision if "jwk" in cnf else ClaimMustNotHide
        refused(expected, lambda token=token, expected=expected: check(token))
        # Even a digest that nobody opens.
        refused(ClaimMustNotHide, lambda cnf=cnf: check(presentation(members(cnf=cnf))))
    element, e = hidden("https://bauhinia.example/vct/other/1")
    payload = members(aka_vcts=[VCT, {"...": e}])
    refused(ClaimMustNotHide, lambda: check(presentation(payload)))
    refused(ClaimMustNotHide, lambda: check(presentation(payload, element)))
    inner, i = hidden("idx", 7)
    status = {"status_list": {"uri": "https://bauhinia.example/status", "_sd": [i]}}
    refused(ClaimMustNotHide, lambda: check(presentation(members(status=status), inner)))


@pytest.mark.hostile("S6")
def test_s6_disclosure_of_the_wrong_shape() -> None:
    for text in (
        f'["{SALT}","{CANARY}"]',
        f'["{SALT}"]',
        "[]",
        f'["{SALT}","a",1,2]',
        f'{{"salt":"{SALT}","name":"a","value":1}}',
        f'"{CANARY}"',
        "null",
        "1",
    ):
        made = raw_disclosure(text)
        refused(DisclosureMalformed, lambda made=made: check(presentation(members(_sd=[digest(made)]), made)))
    for text in (f'["{SALT}","a","{CANARY}"]', f'["{SALT}"]', "[]", f'["{SALT}",1,2,3]'):
        made = raw_disclosure(text)
        refused(DisclosureMalformed, lambda made=made: check(under([{"...": digest(made)}], made)))


@pytest.mark.hostile("S7")
def test_s7_salt_or_name_of_another_type() -> None:
    for text in (
        f'["{SALT}",1,"{CANARY}"]',
        f'["{SALT}",null,1]',
        f'["{SALT}",["a"],1]',
        '[1,"a",1]',
        '[null,"a",1]',
        '[["s"],"a",1]',
    ):
        made = raw_disclosure(text)
        refused(DisclosureMalformed, lambda made=made: check(presentation(members(_sd=[digest(made)]), made)))
    # A short salt can be guessed by whoever sees the digest: the verifier is told, the holder not punished.
    for salt, notes in (("s", ("short_salt",)), (SALT[:21], ("short_salt",)), (SALT[:22], ())):
        made = b64u(dump_json([salt, "a", 1]))
        assert check(presentation(members(_sd=[digest(made)]), made)).notes == notes


@pytest.mark.hostile("S8")
@pytest.mark.parametrize(
    "bad", [None, "x", 1, {}, {"a": 1}, [1], [None], [["x"]], [{"a": 1}], ["x", 1], True]
)
def test_s8_sd_is_not_an_array_of_strings(bad: object) -> None:
    payload = {**members(), "_sd": bad}
    refused(SdJwtMalformed, lambda: check(presentation(payload)))
    refused(SdJwtMalformed, lambda: check(under({"_sd": bad})))


@pytest.mark.hostile("S8")
@pytest.mark.parametrize(
    "bad",
    [
        [{"...": 1}],
        [{"...": None}],
        [{"...": ["x"]}],
        [{"...": {}}],
        [{"...": "x", "a": 1}],
        [{"...": "x", "_sd": []}],
        {"...": "x"},
        {"a": {"...": "x", "b": 1}},
    ],
)
def test_s8_dots_in_the_wrong_place(bad: object) -> None:
    refused(SdJwtMalformed, lambda: check(under(bad)))


@pytest.mark.hostile("S9")
@pytest.mark.parametrize(
    "alg", ["md5", "sha-1", "sha-512", "SHA-256", "sha256", "", 1, True, ["sha-256"], {}]
)
def test_s9_other_digest_algorithm(alg: object) -> None:
    refused(DigestAlgorithmRefused, lambda: check(presentation(members(_sd_alg=alg))))


@pytest.mark.hostile("S9")
def test_s9_digest_algorithm_absent_null_or_below_the_top() -> None:
    made, d = hidden("a", 1)
    assert check(presentation(members(_sd=[d], _sd_alg=None), made)).claims == {"a": 1}
    null = {**members(), "_sd_alg": None}
    refused(DigestAlgorithmRefused, lambda: check(presentation(null)))
    refused(DigestAlgorithmRefused, lambda: check(under({"_sd_alg": "sha-256"})))
    refused(DigestAlgorithmRefused, lambda: check(under([{"_sd_alg": "sha-256"}])))
    outer, o = hidden("o", {"_sd_alg": "sha-256"})
    refused(DigestAlgorithmRefused, lambda: check(presentation(members(_sd=[o]), outer)))


@pytest.mark.hostile("S10")
def test_s10_parts_and_tildes() -> None:
    payload, (made,) = flat({"a": CANARY})
    jwt = jws(payload)
    refused(DigestRepeated, lambda: check(bind(shown(jwt, made, made))))
    for token in (f"{jwt}~~", f"{jwt}~{made}~~", f"{jwt}~~{made}~", f"~{jwt}~{made}~", "~", "~~"):
        refused(SdJwtMalformed, lambda token=token: check(bind(token.encode())))
    # Without the final tilde the last disclosure stands where the key-binding JWT belongs.
    refused(JwsMalformed, lambda: check(f"{jwt}~{made}".encode()))
    refused(SdJwtMalformed, lambda: check(jwt.encode()))
    refused(SdJwtMalformed, lambda: check(b""))
    refused(SdJwtMalformed, lambda: check(bind(shown(jwt, made)) + "é".encode()))
    refused(DisclosureMalformed, lambda: check(bind(f"{jwt}~".encode() + b"\xff~")))


@pytest.mark.hostile("S11")
def test_s11_recursion() -> None:
    chain: list[str] = []
    below: list[str] = []
    for _ in range(100):
        made, d = hidden("a", {"_sd": below} if below else CANARY)
        chain.append(made)
        below = [d]
    refused(SdJwtMalformed, lambda: check(presentation(members(_sd=below), *chain)))
    chain = []
    arrays: list[dict[str, str]] = []
    for _ in range(100):
        made, d = hidden(arrays or CANARY)
        chain.append(made)
        arrays = [{"...": d}]
    refused(SdJwtMalformed, lambda: check(under(arrays, *chain)))
    # Two parents that claim one child: what a cycle would need, digests being what they are.
    child, c = hidden("c", CANARY)
    one, o = hidden("one", {"_sd": [c]})
    two, t = hidden("two", {"_sd": [c]})
    refused(DigestRepeated, lambda: check(presentation(members(_sd=[o, t]), one, two, child)))


@pytest.mark.hostile("S12")
@pytest.mark.parametrize(
    "text",
    [
        '["salt","a",{"b":1,"b":2}]',
        '["salt","a",NaN]',
        '["salt","a",1e999]',
        '["salt","a","\\ud800"]',
        '["salt","a",' + "[" * 3000 + "]" * 3000 + "]",
        '["salt","a",' + '{"a":' * 20 + "1" + "}" * 20 + "]",
        '["salt","a",1',
        '["salt","a",1]]',
        '["salt","a",01]',
        "\ufeff[1]",
        "",
    ],
    ids=range(11),
)
def test_s12_disclosure_that_is_not_strict_json(text: str) -> None:
    made = raw_disclosure(text) or "A"
    refused(DisclosureMalformed, lambda: check(presentation(members(_sd=[digest(made)]), made)))


@pytest.mark.hostile("S12")
def test_s12_disclosure_that_is_not_exact_base64url() -> None:
    made = raw_disclosure(f'["{SALT}","ab",1]')
    for spoiled in (made + "=", made + "\n", made[:4] + "+" + made[5:], made[:-1] + "B", made + "A"):
        token = presentation(members(_sd=[digest(spoiled)]), spoiled)
        refused(DisclosureMalformed, lambda token=token: check(token))
    refused(
        DisclosureMalformed,
        lambda: check(presentation(members(), raw_disclosure(b'["\xff\xff","a",1]'))),
    )


@pytest.mark.hostile("S12")
@pytest.mark.parametrize("text", ["é", "\ud800", "WyJ\u00e9"])
def test_s12_disclosure_that_is_not_ascii(text: str) -> None:
    refused(DisclosureMalformed, lambda: process_payload(members(), [text]))


@pytest.mark.hostile("S13")
@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "vc+sd-jwt", "example+sd-jwt", "DC+SD-JWT", "kb+jwt", "", None]
)
def test_s13_other_typ(typ: str | None) -> None:
    refused(TypMismatch, lambda: check(presentation(members(), typ=typ)))


@pytest.mark.hostile("S14")
def test_s14_other_type() -> None:
    with network() as events:
        for vct in (
            "https://bauhinia.example/vct/other/1",
            VCT + "/",
            VCT.upper(),
            "",
            "https://attacker.example/",
        ):
            refused(TypeMismatch, lambda vct=vct: check(presentation(members(vct=vct))))
        for bad in (5, ["x"], {"a": 1}, False):
            refused(SdJwtMalformed, lambda bad=bad: check(presentation(members(vct=bad))))
        # Type metadata is never fetched, so its hash is nobody's business here.
        assert check(presentation(members(**{"vct#integrity": "sha256-AAAA"}))).type == VCT
    assert events == []


@pytest.mark.hostile("S14")
@pytest.mark.parametrize("iss", ["https://attacker.example", ISSUER + "/", ""])
def test_s14_other_issuer_than_the_certificate(iss: str) -> None:
    refused(IssuerOutOfScope, lambda: check(presentation(members(iss=iss))))


@pytest.mark.hostile("S15")
def test_s15_not_in_force() -> None:
    token = presentation(members())
    for late in (END, END + 1):
        fresh = bind(shown(jws(members())), iat=late)
        refused(CredentialExpired, lambda fresh=fresh, late=late: check(fresh, now=late))
    assert check(bind(shown(jws(members())), iat=END - 1), now=END - 1)
    refused(CredentialNotYetValid, lambda: check(token, now=START - 1))
    assert check(bind(shown(jws(members())), iat=START), now=START)
    refused(CredentialNotYetValid, lambda: check(presentation(members(iat=NOW + 61))))
    assert check(presentation(members(iat=NOW + 60)))
    for name in ("nbf", "exp", "iat"):
        for value in ("1800000000", 1.8e9, True, [1], {"a": 1}):
            bad = presentation(members(**{name: value}))
            refused(SdJwtMalformed, lambda bad=bad: check(bad))
    refused(ValidityMissing, lambda: check(presentation(members(exp=None))))


def test_issuer_that_is_not_named_is_the_one_of_the_certificate() -> None:
    assert check(presentation(members(iss=None))).issuer == ISSUER
    refused(IssuerOutOfScope, lambda: check(presentation(members(iss="https://other.example"))))
    refused(SdJwtMalformed, lambda: check(presentation({**members(), "iss": None})))


def test_validity_begins_with_the_time_of_issue_where_nothing_else_is_stated() -> None:
    token = presentation(members(nbf=None, iat=START))
    assert check(token).valid == Window(START, END)
    ahead = presentation(members(nbf=None, iat=NOW + 60))
    assert check(ahead).valid == Window(NOW + 60, END)
    refused(CredentialNotYetValid, lambda: check(presentation(members(nbf=None, iat=NOW + 61))))
    refused(ValidityMissing, lambda: check(presentation(members(nbf=None))))
    refused(ValidityMissing, lambda: check(presentation(members(nbf=None, exp=None, iat=START))))
    for name in ("nbf", "exp"):
        refused(SdJwtMalformed, lambda name=name: check(presentation({**members(), name: None})))
    refused(TypeMismatch, lambda: check(presentation(members(vct=None))))


@pytest.mark.hostile("S16")
def test_s16_disclosure_of_another_credential() -> None:
    _, first = flat({"a": CANARY})
    payload, second = flat({"a": CANARY})
    refused(DigestMismatch, lambda: check(presentation(payload, *first)))
    refused(DigestMismatch, lambda: check(presentation(payload, *second, *first)))


@pytest.mark.hostile("S5")
@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        [],
        "https://bauhinia.example/status",
        {"status_list": {}},
        {"status_list": []},
        {"status_list": None},
        {"status_list": {"idx": 1}},
        {"status_list": {"uri": "u"}},
        {"status_list": {"idx": "1", "uri": "u"}},
        {"status_list": {"idx": -1, "uri": "u"}},
        {"status_list": {"idx": 1.0, "uri": "u"}},
        {"status_list": {"idx": True, "uri": "u"}},
        {"status_list": {"idx": None, "uri": "u"}},
        {"status_list": {"idx": 1, "uri": 5}},
        {"status_list": {"idx": 1, "uri": ""}},
        {"status_list": {"idx": 1, "uri": ["u"]}},
    ],
)
def test_s5_status_that_cannot_be_read(status: object) -> None:
    # A status that is there and not understood is never the same as no status.
    refused(StatusReferenceInvalid, lambda: check(presentation({**members(), "status": status})))


def test_status_is_read() -> None:
    status = {"status_list": {"idx": 0, "uri": "https://bauhinia.example/status/x"}}
    assert check(presentation(members(status=status))).status == StatusRef(
        "https://bauhinia.example/status/x", 0
    )


def test_disclosed_holds_no_protocol_member() -> None:
    payload, disclosures = flat({"a": 1}, sub="s", iat=START, **{"vct#integrity": "sha256-x"})
    assert check(presentation(payload, *disclosures)).claims == {"a": 1, "sub": "s"}
    made, d = hidden("iat", START)
    assert check(presentation(members(_sd=[d]), made)).claims == {}


def test_verify_takes_the_type_from_the_caller() -> None:
    from sdjwt_forge import SESSION, TRUST

    token = presentation(members())
    refused(TypeMismatch, lambda: verify(token, type="other", session=SESSION, trust=TRUST, now=NOW))
