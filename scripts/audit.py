"""Report known vulnerabilities of the locked packages, with pip-audit in an environment of its own.

It only reports, and its exit code is 0: what is found may not concern this project, and the service
that knows may be out of reach. Arguments go to pip-audit: `scripts/audit.py --vulnerability-service
osv` asks another one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-nodeps.lock")
TOOL = ROOT / "scripts" / "audit.lock"
HOME = ROOT / ".venv-audit"


def main(arguments: Sequence[str]) -> None:
    """Print a few lines for every lock."""
    try:
        install()
    except subprocess.CalledProcessError:
        print("no audit: pip-audit could not be installed; is the package index in reach?")
        return
    for lock in LOCKS:
        command = [
            str(HOME / "bin" / "pip-audit"),
            "--requirement",
            lock,
            "--no-deps",
            "--disable-pip",
            *arguments,
        ]
        command += ["--format", "json", "--progress-spinner", "off"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        try:
            report = json.loads(done.stdout)
        except ValueError:
            reason = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            print(f"{lock}: no audit: the service could not be asked ({reason})")
        else:
            for line in summary(report):
                print(f"{lock}: {line}")


def install() -> None:
    """Make the environment of pip-audit, unless it is there and up to date."""
    ready, state = HOME / ".ready", hashlib.sha256(TOOL.read_bytes()).hexdigest()
    if ready.is_file() and ready.read_text() == state:
        return
    shutil.rmtree(HOME, ignore_errors=True)
    venv.create(HOME, with_pip=True)
    pip = [
        str(HOME / "bin" / "python"),
        "-I",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(TOOL)], check=True)
    ready.write_text(state)


def summary(report: Mapping[str, Any]) -> Iterator[str]:
    """A report of pip-audit in lines. A package that the service does not know was not audited."""
    packages = report["dependencies"]
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        yield f"no audit: the service knows none of {len(packages)} packages; is it in reach?"
        return
    for package in known:
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no release"
            yield f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"
    count = sum(len(package["vulns"]) for package in known)
    yield (
        f"{count} known vulnerabilities in {len(known)} packages; {len(packages) - len(known)} "
        "could not be audited"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
