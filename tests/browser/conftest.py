"""One set of parties and one Chromium for all browser tests; after each test the browser has no complaint."""

from __future__ import annotations

from collections.abc import Iterator

import browser_stage
import pytest
from browser_stage import COUNTER, Stage


@pytest.fixture(scope="session")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if not browser_stage.CHROMIUM or not browser_stage.CHROMEDRIVER:
        pytest.skip(browser_stage.MISSING)
    with browser_stage.stage(tmp_path_factory.mktemp("machine")) as stage:
        yield stage


@pytest.fixture
def stage(parties: Stage) -> Iterator[Stage]:
    """The stage with one empty tab, in English; afterwards nothing was complained of, and nobody else asked
    for anything: no script error, no violation of the content security policy, no third party."""
    here = parties.browser
    here.start_afresh()
    here.screen(COUNTER)
    yield parties
    strangers = here.hosts() - parties.origins
    assert here.complaints == []
    assert strangers == set()
