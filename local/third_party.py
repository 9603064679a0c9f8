"""`make third-party`: independent Alma clients and MARC records from PyPI, and the audit of the dependencies.

Both need a package index, which `make test` does not. The audit asks PyPI for known vulnerabilities of what
constraints.txt pins; where the index in use does not know them, it says so and does not fail.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from . import suite
from .settings import ROOT

AUDITOR = "pip-audit==2.10.1"


def main() -> int:
    """1 when a test fails or a pinned package has a known vulnerability."""
    tests = subprocess.run(suite.command("third-party"), cwd=ROOT, check=False).returncode
    return int(tests != 0) | audit()


def audit() -> int:
    """Runs pip-audit, from an environment of its own, on constraints.txt."""
    with tempfile.TemporaryDirectory(prefix="alma-audit-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        installed = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", AUDITOR], check=False
        )
        if installed.returncode:
            return _not_made(f"{AUDITOR} could not be installed")
        command: list[str | Path] = [
            python,
            "-m",
            "pip_audit",
            "--no-deps",
            "--disable-pip",
            "--format=json",
            "--progress-spinner=off",
        ]
        audited = subprocess.run(
            [*command, "--requirement", ROOT / "constraints.txt"],
            check=False,
            capture_output=True,
            text=True,
        )
    try:
        packages = json.loads(audited.stdout)["dependencies"]
    except ValueError:
        return _not_made((audited.stderr.strip().splitlines() or ["no answer"])[-1])
    known = [package for package in packages if "vulns" in package]
    if not known:
        return _not_made("the package index in use knows nothing about vulnerabilities")
    faults = [(package, fault) for package in known for fault in package["vulns"]]
    for package, fault in faults:
        fixed = ", ".join(fault["fix_versions"]) or "no release yet"
        print(f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}")
    unknown = len(packages) - len(known)
    print(f"Audit: {len(known)} packages, {unknown} unknown to the index, {len(faults)} vulnerabilities.")
    return int(bool(faults))


def _not_made(why: str) -> int:
    print(f"Audit: not made, since {why}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
