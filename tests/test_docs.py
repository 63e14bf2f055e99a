"""What the documents say is true of the program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bauhinia.cli import main
from bauhinia.reference import SETTINGS, reference
from credentials.catalog import load_catalogue
from credentials.errors import every_error
from verifier.policy import load_policies

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def block(page: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize(
    ("format", "claims"),
    [
        ("dc+sd-jwt", {"age_over_18": True}),
        ("mso_mdoc", {"org.iso.23220.1": {"age_over_18": True}}),
    ],
)
def test_readme_journey_runs(format: str, claims: object, capsys: pytest.CaptureFixture[str]) -> None:
    """The four lines do what the README says, with nothing but the format's name changed."""
    code = block("README.md", "python").replace('name = "dc+sd-jwt"', f'name = "{format}"')
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own README
    assert capsys.readouterr().out == f"{claims}\n"


def test_reference_is_current() -> None:
    """Run ``python -m bauhinia.reference > docs/reference.md`` after a change to commands or errors."""
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == reference()


def test_reference_says_what_types_claims_and_rules_rest_on() -> None:
    page = reference()
    for type in load_catalogue().types.values():
        assert f"| {type.basis} | {type.validity_days} days |" in page
        if (rule := type.rule) is not None:
            row = f"{rule.source} | {rule.as_of} | {'yes' if rule.synthetic else 'no'} |"
            assert f"| `{type.scheme}` | {rule.version} | {row}" in page
        for claim in type.claims:
            assert claim.law is None or re.search(
                rf"\| `{claim.name}` \|.*\| {re.escape(claim.law)} \|", page
            )
    for policy in load_policies(load_catalogue()).by_name.values():
        assert f"| {policy.legal_basis['en']}, {policy.legal_basis['zh-Hant']} |" in page


def test_every_option_says_what_it_is_for() -> None:
    assert "(no more to say)" not in reference()


def test_every_setting_is_read_by_a_program() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in ROOT.glob("*/*.py") if path.parent.name != "tests"
    )
    read = set(
        re.findall(
            r'"((?:BAUHINIA|XDG)_[A-Z_]+)"', source.replace((ROOT / "bauhinia/reference.py").read_text(), "")
        )
    )
    assert read == set(SETTINGS)


def test_error_codes_are_unique() -> None:
    codes = [error.code for error in every_error()]
    assert len(codes) == len(set(codes))


def commands(page: Path) -> Iterator[list[str]]:
    for line in page.read_text(encoding="utf-8").splitlines():
        match = re.match(r"^\$ (bauhinia .*)", line)
        for text in (match.group(1),) if match else re.findall(r"`(bauhinia [a-z][^`…]*)`", line):
            yield shlex.split(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_documents_exist(page: Path) -> None:
    """Every command line in a document names a command and options that exist."""
    for words in commands(page):
        command: click.Command | None = main
        rest = words[1:]
        while isinstance(command, click.Group) and rest:
            with click.Context(command) as context:
                command = command.get_command(context, rest.pop(0))
        assert command is not None, words
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        used = {word.split("=")[0] for word in rest if word.startswith("--")}
        assert used <= options, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_every_command_has_an_example() -> None:
    def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            with click.Context(command) as context:
                for name in command.list_commands(context):
                    below = command.get_command(context, name)
                    assert below is not None
                    yield from walk(below, f"{path} {name}")
        else:
            yield path, command

    without = [path for path, command in walk(main, "bauhinia") if path not in (command.epilog or "")]
    assert without == []
