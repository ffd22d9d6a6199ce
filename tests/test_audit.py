"""What scripts/audit.py makes of a report: an unanswered question is no good news."""

import runpy
from pathlib import Path

summary = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "audit.py"))["summary"]
CLEAN = {"name": "numpy", "version": "2.5.5", "vulns": []}
UNKNOWN = {"name": "norse", "skip_reason": "not found"}
FOUND = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}]}
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
