"""Delete each check in turn: some test must fail.

For every ``raise`` of the modules below, a copy of the tree in which that one statement is ``pass`` runs the
tests named beside the module. A run that stays green is a check that no test needs; it is printed, and the
exit code is 1 unless ``JUSTIFIED`` says why; 2 where the tests fail anyway. Takes minutes:
``make check-removal``; not part of ``make test``.

    python tests/check_removal.py [MODULE …] [--jobs N]
"""

from __future__ import annotations

import argparse
import ast
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

from rich.progress import track

ROOT = Path(__file__).resolve().parents[1]

TESTS: dict[str, list[str]] = {
    "credentials/encoding.py": ["tests/credentials"],
    "credentials/keys.py": ["tests/credentials"],
    "credentials/jose.py": ["tests/credentials"],
    "credentials/disclosures.py": ["tests/credentials"],
    "credentials/sdjwt.py": ["tests/credentials"],
    "credentials/cose.py": ["tests/credentials", "tests/revocation"],
    "credentials/mdoc.py": ["tests/credentials"],
    "credentials/mso.py": ["tests/credentials"],
    "credentials/issuersigned.py": ["tests/credentials"],
    "credentials/certificates.py": ["tests/credentials"],
    "credentials/trust.py": ["tests/credentials"],
    "credentials/trustlist.py": ["tests/credentials"],
    "credentials/hkid.py": ["tests/credentials"],
    "credentials/rules.py": ["tests/credentials", "tests/issuer"],
    "revocation/statuslist.py": ["tests/revocation"],
    "revocation/token.py": ["tests/revocation"],
    "revocation/check.py": ["tests/revocation"],
    "revocation/publish.py": ["tests/revocation"],
    "openid4vc/uris.py": ["tests/openid4vc"],
    "openid4vc/oauth.py": ["tests/openid4vc"],
    "openid4vc/vci.py": ["tests/openid4vc"],
    "openid4vc/vp.py": ["tests/openid4vc"],
    "openid4vc/vpresponse.py": ["tests/openid4vc"],
    "openid4vc/dpop.py": ["tests/openid4vc"],
    "openid4vc/issuermetadata.py": ["tests/openid4vc"],
    "openid4vc/members.py": ["tests/openid4vc"],
    "openid4vc/dcql.py": ["tests/openid4vc"],
    "verifier/verification.py": ["tests/verifier"],
    "wallet/vault.py": ["tests/wallet"],
    "wallet/holding.py": ["tests/wallet"],
}

JUSTIFIED: dict[tuple[str, str], str] = {}
"""(module, the statement's source) to the reason why no test can tell it is gone."""


class Check(NamedTuple):
    module: str
    line: int
    end: int
    source: str


def checks(module: str) -> list[Check]:
    text = (ROOT / module).read_text(encoding="utf-8")
    return [
        Check(module, node.lineno, node.end_lineno or node.lineno, ast.get_source_segment(text, node) or "")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Raise) and node.exc is not None
    ]


def survives(check: Check, tree: Path) -> bool:
    """Whether all tests still pass in ``tree`` without the check."""
    path = tree / check.module
    original = path.read_text(encoding="utf-8")
    lines = original.split("\n")
    first = lines[check.line - 1]
    lines[check.line - 1 : check.end] = [first[: len(first) - len(first.lstrip())] + "pass"]
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        return passes(tuple(TESTS[check.module]), tree)
    finally:
        path.write_text(original, encoding="utf-8")


def passes(tests: tuple[str, ...], tree: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    try:
        run = subprocess.run(
            [*command, "-m", "not processes and not browser", *tests],
            cwd=tree,
            capture_output=True,
            timeout=600,
        )
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    found = [check for module in options.modules for check in checks(module)]
    trees: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        for number in range(options.jobs):
            tree = Path(folder) / str(number) / "tree"
            keep = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
            shutil.copytree(ROOT, tree, ignore=keep)
            shared = ROOT.parent / "shared"
            if shared.is_dir():
                (tree.parent / "shared").symlink_to(shared)
            trees.put(tree)
        # Tests that fail anyway would notice everything.
        for tests in {tuple(TESTS[module]) for module in options.modules}:
            if not passes(tests, tree):
                print(f"{' '.join(tests)} does not pass with every check in place")
                return 2

        def judge(check: Check) -> bool:
            tree = trees.get()
            try:
                return survives(check, tree)
            finally:
                trees.put(tree)

        verdicts = list(track(pool.map(judge, found), total=len(found), description="checks removed"))
    alive = [check for check, survived in zip(found, verdicts, strict=True) if survived]
    unjustified = [check for check in alive if (check.module, check.source) not in JUSTIFIED]
    for check in alive:
        reason = JUSTIFIED.get((check.module, check.source), "NO TEST NEEDS IT")
        print(f"{check.module}:{check.line}: {check.source.splitlines()[0]}  [{reason}]")
    print(f"{len(found)} checks removed, {len(found) - len(alive)} noticed, {len(unjustified)} to mend")
    return 1 if unjustified else 0


if __name__ == "__main__":
    sys.exit(main())
