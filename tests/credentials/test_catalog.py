"""The catalogue that ships is complete and consistent, and one that is not is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from credentials.catalog import (
    BASE,
    ISO_NAMESPACE,
    LANGUAGES,
    MDOC,
    SD_JWT,
    Catalogue,
    CredentialType,
    load_catalogue,
    read_catalogue,
    type_metadata,
)
from credentials.encoding import dump_cbor
from credentials.errors import CatalogueMalformed, ConfigurationInvalid, TypeMismatch
from credentials.model import MAX_DIGESTS

CATALOGUE = load_catalogue()
TYPES = list(CATALOGUE.types.values())
SCHEMES = {
    "two_dollar_60",
    "two_dollar_disability",
    "scc_65",
    "hcv_65",
    "oaa_70",
    "oala_65",
    "voter_gc",
    "prh_qps",
    "cvs_2023",
    "tsfs",
    "museum_resident",
    "pool_senior_60",
    "library_junior",
}
# Never in a selectively disclosable claim of an SD-JWT VC, nor a name of the structure itself.
FORBIDDEN = {"iss", "nbf", "exp", "iat", "sub", "cnf", "vct", "status", "aka_vcts", "_sd", "_sd_alg", "..."}

each_type = pytest.mark.parametrize("type", TYPES, ids=lambda type: type.slug)


def files() -> dict[str, bytes]:
    folder = resources.files("credentials") / "schemas"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".json")}


def test_the_types() -> None:
    expected = {"base/1", "hkid-number/1", "residency/1", "age/1"}
    assert CATALOGUE.types.keys() == expected | {f"eligibility/{scheme}/1" for scheme in SCHEMES}


def test_it_is_read_once() -> None:
    assert load_catalogue() is CATALOGUE
    assert load_catalogue("https://other.example") is not CATALOGUE


@each_type
def test_identifiers(type: CredentialType) -> None:
    assert type.vct == f"{BASE}/vct/{type.name}"
    assert type.doctype == "example.bauhinia." + type.name.replace("/", ".")
    assert (type.identifier(SD_JWT), type.identifier(MDOC)) == (type.vct, type.doctype)
    assert CATALOGUE.by_identifier(type.vct) is CATALOGUE.by_identifier(type.doctype) is type
    assert CATALOGUE.by_slug(type.slug) is type
    assert type.slug.replace("-", "").isalnum()


def test_slugs() -> None:
    assert CATALOGUE.types["age/1"].slug == "age-1"
    assert CATALOGUE.types["eligibility/two_dollar_60/1"].slug == "eligibility-two-dollar-60-1"
    assert CATALOGUE.types["eligibility/two_dollar_60/1"].scheme == "two_dollar_60"
    assert CATALOGUE.types["age/1"].scheme is None


@each_type
def test_validity_and_copies(type: CredentialType) -> None:
    age = type.name == "age/1"
    assert (type.validity_days, type.batch, type.revocable) == ((7, 30, False) if age else (30, 10, True))


@each_type
def test_both_languages_everywhere(type: CredentialType) -> None:
    for labels in (type.label, type.description, *(claim.label for claim in type.claims)):
        assert set(labels) == set(LANGUAGES)
        assert not any(text.isspace() for text in labels.values())
        assert any("\u4e00" <= character <= "\u9fff" for character in labels["zh-Hant"])
    assert type.basis


@each_type
def test_names_do_not_clash(type: CredentialType) -> None:
    names = [claim.name for claim in type.claims]
    elements = [claim.element for claim in type.claims]
    assert len(set(names)) == len(names) <= MAX_DIGESTS
    assert len(set(elements)) == len(elements)
    assert not FORBIDDEN & set(names)
    assert all(len(element) <= 32 for element in elements)


def test_no_element_stands_in_the_iso_namespace_of_one_type_and_in_ours_of_another() -> None:
    iso = {claim.element for type in TYPES for claim in type.claims if claim.namespace == ISO_NAMESPACE}
    ours = {claim.element for type in TYPES for claim in type.claims if claim.namespace != ISO_NAMESPACE}
    assert not iso & ours


@each_type
def test_every_value_fits_an_mdoc_item(type: CredentialType) -> None:
    # Tag 24 and length, map, the four member names, a digestID in one byte, a random of at least 16 bytes.
    assert len(type.claims) <= 24
    room = 119 - (2 + 2 + 1 + 9 + 1 + 7 + 1 + 16 + 18 + 13)
    for claim in type.claims:
        if claim.kind in ("boolean", "integer") and claim.enum is None:
            longest = 9
        elif claim.kind == "date":
            longest = 14
        elif claim.kind == "strings":
            assert claim.max_items is not None
            longest = 1 + claim.max_items * len(dump_cbor("QS"))
        elif claim.enum is not None:
            longest = max(len(dump_cbor(value)) for value in claim.enum)
        else:
            assert claim.max_bytes is not None
            longest = len(dump_cbor("x" * claim.max_bytes))
        assert len(dump_cbor(claim.element)) + longest <= room, claim.name


def test_paths_in_both_formats() -> None:
    base = CATALOGUE.types["base/1"]
    assert base.path(SD_JWT, "birthdate") == ("birthdate",)
    assert base.path(MDOC, "birthdate") == (ISO_NAMESPACE, "birth_date")
    assert base.path(MDOC, "name_zh") == ("example.bauhinia.base.1", "name_zh")
    assert (
        base.claim_at((ISO_NAMESPACE, "birth_date"))
        is base.claim_at(("birthdate",))
        is base.claim("birthdate")
    )
    for type in TYPES:
        for claim in type.claims:
            for format in (SD_JWT, MDOC):
                assert type.claim_at(type.path(format, claim.name)) is claim


@pytest.mark.parametrize(
    "ask",
    [
        lambda: CATALOGUE.by_identifier("https://bauhinia.example/vct/age/2"),
        lambda: CATALOGUE.by_slug("age-2"),
        lambda: CATALOGUE.types["age/1"].claim("birthdate"),
        lambda: CATALOGUE.types["age/1"].claim_at(("example.bauhinia.age.1", "age_over_18")),
        lambda: CATALOGUE.types["age/1"].path("ldp_vc", "age_over_18"),
        lambda: CATALOGUE.types["age/1"].identifier("ldp_vc"),
    ],
)
def test_what_is_not_there(ask: Callable[[], object]) -> None:
    with pytest.raises(TypeMismatch) as refusal:
        ask()
    assert refusal.value.code == "type_mismatch"


def test_the_age_type_says_ages_and_nothing_else() -> None:
    age = CATALOGUE.types["age/1"]
    assert [claim.name for claim in age.claims] == [
        *(f"age_over_{threshold}" for threshold in (11, 15, 16, 18, 21, 60, 65, 70)),
        "year_age_over_65",
        "age_band",
    ]
    assert all(claim.alone for claim in age.claims)
    assert {claim.namespace for claim in age.claims if claim.name.startswith("age_over")} == {ISO_NAMESPACE}


def test_the_number_is_in_one_type_alone() -> None:
    holders = {type.name for type in TYPES for claim in type.claims if "administrative_number" in claim.name}
    assert holders == {"hkid-number/1"}
    assert len(CATALOGUE.types["hkid-number/1"].claims) == 1


def test_eligibility_types_are_alike() -> None:
    expected = ["eligible", "tier", "valid_week", "rule_version", "scheme_nullifier"]
    for type in TYPES:
        assert (type.rule is not None) is type.name.startswith("eligibility/")
        if type.rule is not None:
            assert [claim.name for claim in type.claims] == expected
            assert type.rule.source


def test_type_metadata() -> None:
    metadata = type_metadata(CATALOGUE.types["age/1"])
    assert metadata["vct"] == "https://bauhinia.example/vct/age/1"
    assert [display["locale"] for display in metadata["display"]] == ["en", "zh-Hant"]
    first = metadata["claims"][0]
    assert (first["path"], first["sd"]) == (["age_over_11"], "always")
    assert [display["label"] for display in first["display"]] == ["11 or over", "年滿11歲"]
    assert len(metadata["claims"]) == 10
    json.dumps(metadata)


def test_type_metadata_says_what_a_type_rests_on() -> None:
    for type in TYPES:
        own = type_metadata(type)["bauhinia"]
        assert own["basis"] == type.basis
        assert own["law"] == {claim.name: claim.law for claim in type.claims if claim.law}
        assert ("rule" in own) is (type.rule is not None)
    assert type_metadata(CATALOGUE.types["eligibility/two_dollar_60/1"])["bauhinia"]["rule"] == {
        "version": 1,
        "source": "Transport Department, page on the Public Transport Fare Concession Scheme",
        "as_of": "2024-08-25",
        "synthetic": False,
    }


@pytest.mark.parametrize(
    "base",
    [
        "http://bauhinia.example",
        "https://bauhinia.example/",
        "https://Bauhinia.example",
        "https://",
        "",
        "https://a.example?b",
        "https://a.example#b",
        "https://u@a.example",
        "https://a.example\n",
    ],
)
def test_base_is_an_https_url(base: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        load_catalogue(base)


def test_another_base() -> None:
    assert (
        load_catalogue("https://id.example:8443/hk").types["age/1"].vct
        == "https://id.example:8443/hk/vct/age/1"
    )


def changed(file: str, change: Callable[[dict[str, Any]], object]) -> Catalogue:
    content = files()
    data = json.loads(content[file])
    change(data)
    content[file] = json.dumps(data).encode()
    return read_catalogue(content, base=BASE)


def set_in(data: Any, *path: str | int, value: object) -> None:
    for step in path[:-1]:
        data = data[step]
    data[path[-1]] = value


def rename_doctype(data: Any, doctype: str) -> None:
    for claim in data["claims"]:
        if claim["namespace"] == data["doctype"]:
            claim["namespace"] = doctype
    data["doctype"] = doctype


AGE, SCHEME = "age-1.json", "eligibility-cvs-2023-1.json"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (AGE, lambda data: data.pop("label")),
        (AGE, lambda data: data["label"].pop("zh-Hant")),
        (AGE, lambda data: set_in(data, "label", "fr", value="x")),
        (AGE, lambda data: set_in(data, "colour", value="red")),
        (AGE, lambda data: set_in(data, "name", value="age/2")),
        (AGE, lambda data: set_in(data, "name", value="age")),
        (AGE, lambda data: rename_doctype(data, "example.bauhinia.other.1")),
        (AGE, lambda data: set_in(data, "validity_days", value=0)),
        (AGE, lambda data: set_in(data, "batch", value=0)),
        (AGE, lambda data: set_in(data, "claims", value=[])),
        (AGE, lambda data: set_in(data, "claims", 0, "kind", value="float")),
        (AGE, lambda data: set_in(data, "claims", 0, "namespace", value="org.iso.18013.5.1")),
        (AGE, lambda data: data["claims"][0].update(name="age_over_15", element="age_over_12")),
        (AGE, lambda data: set_in(data, "claims", 0, "element", value="age_over_15")),
        (AGE, lambda data: set_in(data, "claims", 0, "name", value="x" * 33)),
        (AGE, lambda data: set_in(data, "claims", 0, "kind", value="string")),
        (AGE, lambda data: data["claims"][-1].pop("values")),
        (AGE, lambda data: data["claims"][-1]["values"].pop("70+")),
        (AGE, lambda data: data["claims"][-1]["values"]["70+"].pop("zh-Hant")),
        (AGE, lambda data: set_in(data, "claims", -1, "values", "71+", value={"en": "x", "zh-Hant": "x"})),
        (AGE, lambda data: set_in(data, "claims", 0, "values", value={"true": {"en": "x", "zh-Hant": "x"}})),
        (AGE, lambda data: set_in(data, "rule", value=json.loads(files()[SCHEME])["rule"])),
        (SCHEME, lambda data: data.pop("rule")),
        (SCHEME, lambda data: data["rule"]["tiers"].pop()),
        (SCHEME, lambda data: set_in(data, "rule", "tiers", 0, "when", value={"xor": []})),
        (SCHEME, lambda data: set_in(data, "rule", "tiers", 0, "when", value={})),
        (SCHEME, lambda data: set_in(data, "rule", "tiers", 0, "when", value={"all": []})),
        (SCHEME, lambda data: set_in(data, "rule", "as_of", value="lately")),
    ],
)
def test_a_malformed_type_is_refused(file: str, change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(CatalogueMalformed) as refusal:
        changed(file, change)
    assert refusal.value.code == "catalogue_malformed"
    assert file in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": "age/1", "name": "age/1"}', b"\xff"])
def test_a_file_that_is_not_strict_json_is_refused(content: bytes) -> None:
    with pytest.raises(CatalogueMalformed):
        read_catalogue(files() | {AGE: content}, base=BASE)
    with pytest.raises(CatalogueMalformed):
        read_catalogue(files() | {"catalogue.schema.json": content}, base=BASE)


def test_a_catalogue_without_schema_is_refused() -> None:
    content = files()
    del content["catalogue.schema.json"]
    with pytest.raises(CatalogueMalformed):
        read_catalogue(content, base=BASE)


def test_a_type_under_a_second_file_name_is_refused() -> None:
    with pytest.raises(CatalogueMalformed):
        read_catalogue(files() | {"age-one.json": files()[AGE]}, base=BASE)


def test_every_value_has_a_name_in_both_languages() -> None:
    for type in TYPES:
        for claim in type.claims:
            assert list(claim.values) == [str(value) for value in claim.enum or ()]
            for named in claim.values.values():
                assert set(named) == {"en", "zh-Hant"}
                assert "_" not in named["en"]
                assert not re.search("[A-Za-z]", named["zh-Hant"])
