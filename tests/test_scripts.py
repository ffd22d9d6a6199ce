"""What publishes a release and audits packages: permissions, answers that are no good news."""

import re
import runpy
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def test_the_job_that_may_publish_runs_no_code_of_the_tests() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    allowed = {name: job.get("permissions", {}).get("id-token") for name, job in jobs.items()}
    assert allowed == {"build": None, "publish": "write"}
    run = [step["run"] for step in jobs["publish"]["steps"] if "run" in step]
    assert all(line.startswith(("python3 -m venv", ".venv-uv/bin/")) for line in run)
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert used and all(
        re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in used
    )  # a tag may move


summary = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "audit.py"))["summary"]
CLEAN = {"name": "numpy", "version": "2.5.5", "vulns": []}
UNKNOWN = {"name": "norse", "skip_reason": "not found"}
FOUND = {
    "name": "pillow",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}],
}
OPEN = {"name": "x", "version": "2", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}


def test_what_was_found_is_named() -> None:
    assert list(summary({"dependencies": [CLEAN, FOUND, UNKNOWN, OPEN]})) == [
        "pillow 1.0: PYSEC-1, fixed in 1.1, 2.0",
        "x 2: PYSEC-2, fixed in no release",
        "2 known vulnerabilities in 3 packages; 1 could not be audited",
    ]


def test_nothing_known_is_no_audit() -> None:
    assert list(summary({"dependencies": [UNKNOWN, UNKNOWN]})) == [
        "no audit: the service knows none of 2 packages; is it in reach?"
    ]
