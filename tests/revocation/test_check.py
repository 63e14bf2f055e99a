"""The answer to "is it revoked": fresh, amber, no, or not known."""

from __future__ import annotations

import pytest
from pki_fixture import NOW
from status_forge import HOUR, URI, Held, ask, held

from credentials.errors import (
    ConfigurationInvalid,
    Revoked,
    StatusListInvalid,
    StatusMissing,
    StatusReferenceInvalid,
    StatusStale,
    StatusUnavailable,
    Suspended,
    Undetermined,
)
from credentials.model import StatusRef
from revocation.check import (
    Freshness,
    StatusEvidence,
    check,
    refuse_tracking,
    refuse_tracking_uri,
)


def test_each_format_reads_its_own_encoding() -> None:
    jwt, cwt = held(), held(encoding="cwt")
    assert ask(jwt) == StatusEvidence("fresh", NOW)
    assert ask(cwt, format="mso_mdoc") == StatusEvidence("fresh", NOW)
    assert (jwt.asked, cwt.asked) == ([(URI, "jwt")], [(URI, "cwt")])
    with pytest.raises(StatusUnavailable):
        ask(jwt, format="mso_mdoc")
    with pytest.raises(ConfigurationInvalid):
        ask(jwt, format="ldp_vc")


def test_no_status_where_none_is_needed() -> None:
    lists = held()
    arguments = {"format": "dc+sd-jwt", "lists": lists, "now": NOW, "freshness": Freshness()}
    assert check(None, required=False, **arguments) == StatusEvidence("none", None)  # type: ignore[arg-type]
    assert lists.asked == []
    with pytest.raises(StatusMissing):
        check(None, required=True, **arguments)  # type: ignore[arg-type]


def test_a_status_that_is_there_is_looked_up_though_none_is_needed() -> None:
    with pytest.raises(Revoked):
        check(
            StatusRef(URI, 7),
            format="dc+sd-jwt",
            required=False,
            lists=held(values={7: 1}),
            now=NOW,
            freshness=Freshness(),
        )


def test_freshness_has_two_edges() -> None:
    lists = held()
    assert ask(lists, now=NOW + 8 * HOUR).level == "fresh"
    assert ask(lists, now=NOW + 8 * HOUR + 1).level == "amber"
    assert ask(lists, now=NOW + 30 * HOUR) == StatusEvidence("amber", NOW)
    with pytest.raises(StatusStale):
        ask(lists, now=NOW + 30 * HOUR + 1)
    strict = Freshness(green=10, amber=20)
    assert ask(lists, now=NOW + 20, freshness=strict).level == "amber"
    with pytest.raises(StatusStale):
        ask(lists, now=NOW + 21, freshness=strict)


def test_expiry_is_an_absolute_stop() -> None:
    lists = held(expires=NOW + 5)
    assert ask(lists, now=NOW + 4).level == "fresh"
    with pytest.raises(StatusStale):
        ask(lists, now=NOW + 5)
    assert ask(held(expires=None), now=NOW + 29 * HOUR).level == "amber"


def test_a_clock_set_back_does_not_make_a_list_fresh() -> None:
    assert ask(held(), now=NOW - 60).level == "fresh"
    with pytest.raises(StatusListInvalid, match="future"):
        ask(held(), now=NOW - 61)


def test_revocation_is_final_and_suspension_is_not() -> None:
    later = NOW + 1000 * HOUR
    with pytest.raises(Revoked):
        ask(held(values={7: 1}), now=later)
    with pytest.raises(Suspended):
        ask(held(values={7: 2}))
    with pytest.raises(StatusStale):
        ask(held(values={7: 2}), now=later)


def test_neighbours_do_not_matter() -> None:
    assert ask(held(values={6: 1, 8: 1})).level == "fresh"


def test_undetermined_is_neither_yes_nor_no() -> None:
    for lists, now in ((Held({}), NOW), (held(), NOW + 1000 * HOUR)):
        with pytest.raises(Undetermined):
            ask(lists, now=now)


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        "https://issuer.test:8701/status/age-1/2026-11-22",
        "https://localhost:8701/s",
        "https://bauhinia.example/status/eligibility-two-dollar-60-1/2026-11-22.v1~2_x",
    ],
)
def test_addresses_that_say_nothing_about_anybody(uri: str) -> None:
    refuse_tracking_uri(uri)


def test_a_batch_shares_one_list() -> None:
    refuse_tracking([])
    refuse_tracking([StatusRef(URI, 1), StatusRef(URI, 900)])
    for wrong in (
        [StatusRef(URI, 1), StatusRef(f"{URI}-b", 2)],
        [StatusRef(URI, 1), StatusRef(URI, 1)],
        [StatusRef(URI, 1), StatusRef(f"{URI}?p=1", 2)],
    ):
        with pytest.raises(StatusReferenceInvalid):
            refuse_tracking(wrong)
