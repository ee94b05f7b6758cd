"""`python -m deploy.audit`: whether a vulnerability is known in a locked package; it fails on any.

That the database can't be reached is said, and tolerated: it says nothing of the packages.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LOCK = Path(__file__).parents[1] / "requirements.lock"
_AWAY = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "HTTPError", "JSONDecodeError", "ServiceError")
"""How what pip-audit writes ends, where its database does not answer, or somebody else answers in its place."""
CLEAN, FOUND, BROKEN = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit the lock; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.audit", description=__doc__)
    parser.add_argument("--lock", type=Path, default=_LOCK)
    parser.add_argument("--database", help="another address of the database, which speaks OSV's API")
    given = parser.parse_args(arguments)
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(given.lock), "--require-hashes", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    command += ["--osv-url", given.database] if given.database else []
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    code, said = verdict(ended.returncode, ended.stdout, ended.stderr)
    print("\n".join(f"audit: {line}" for line in said))
    return code


def verdict(code: int, output: str, errors: str) -> tuple[int, list[str]]:
    """The exit code, and what to say, for what pip-audit has written. Pure."""
    packages: list[dict[str, Any]] | None = None
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (errors.strip().splitlines() or [f"pip-audit ended with {code}"])[-1]
        if any(f"{word}:" in last or last.endswith(word) for word in _AWAY):
            return CLEAN, [f"NOT DONE: the database of vulnerabilities can't be reached: {last[:300]}"]
        return BROKEN, [f"pip-audit could not do it: {last[:300]}"]
    found = [(package, each) for package in packages for each in package.get("vulns", ())]
    if found:
        return FOUND, [_finding(package, each) for package, each in found]
    skipped = [str(package["skip_reason"]) for package in packages if "skip_reason" in package]
    if skipped or not packages or code:
        return BROKEN, ["some packages could not be judged", *skipped]
    return CLEAN, [f"no vulnerability is known in {len(packages)} locked packages"]


def _finding(package: dict[str, Any], found: dict[str, Any]) -> str:
    fixed = ", ".join(found.get("fix_versions", ())) or "no version yet"
    return f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}: `make lock` chooses versions anew"


if __name__ == "__main__":
    sys.exit(main())
