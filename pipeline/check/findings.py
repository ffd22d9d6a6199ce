"""Findings of a check, as a list and as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from spikesam.common.errors import InputError
from spikesam.pipeline.drawing.notebook import Shown

Severity = Literal["fault", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("fault", "warning", "note")
# every finding, and how severe it is
NAMES: dict[str, Severity] = {
    "samples mixed": "fault",
    "state left over": "fault",
    "not deterministic": "fault",
    "train mode": "fault",
    "batch statistics": "fault",
    "another rule": "fault",
    "later steps": "warning",
    "not spikes": "warning",
    "one step": "warning",
    "another backend": "warning",
    "ignored": "note",
    "silent": "note",
    "always firing": "note",
    "far from threshold": "note",
    "multiplies": "note",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it seems.

    Parameters
    ----------
    name : a key of :data:`NAMES`, such as "samples mixed"
    module : name of the module, as `model.named_modules()` has it; "" of the model
    sentence : the observation, with its numbers
    advice : what to do
    """

    name: str
    module: str
    sentence: str
    advice: str

    @property
    def severity(self) -> Severity:
        """ "fault": results depend on what they should not; "warning": often a mistake; "note"."""
        return NAMES[self.name]


@dataclass(frozen=True, eq=False)
class Check(Shown):
    """The findings of :func:`spikesam.check`, the severest first.

    `print` and notebooks show them as a table.

    Parameters
    ----------
    findings : in order of severity, then of calls
    unchecked : sentences on what could not be looked at, and why
    passes : how often the model ran
    """

    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...]
    passes: int

    def __repr__(self) -> str:
        """One line: how many findings of which kind."""
        names = ", ".join(dict.fromkeys(finding.name for finding in self.findings))
        return f"<Check: {len(self.findings)} findings{': ' * bool(names)}{names}>"

    def raise_for(self, *names: str) -> None:
        """Raise an InputError that lists the findings of some names or severities; faults if none
        are given.
        """
        for name in names:
            if name not in NAMES and name not in SEVERITIES:
                expected = ", ".join(map(repr, (*SEVERITIES, *NAMES)))
                raise InputError(f"raise_for: got {name!r}, expected one of {expected}")
        wanted = set(names or ("fault",))
        refused = [
            finding for finding in self.findings if wanted & {finding.name, finding.severity}
        ]
        if refused:
            lines = [
                f"{finding.name} in {finding.module or 'the model'!r}: {finding.sentence}"
                for finding in refused
            ]
            raise InputError(f"check: {'; '.join(lines)}")

    def _parts(self) -> Iterable[Any]:
        import pandas as pd

        if self.findings:
            table = pd.DataFrame(
                {
                    "severity": [finding.severity for finding in self.findings],
                    "finding": [finding.name for finding in self.findings],
                    "module": [finding.module or "(the model)" for finding in self.findings],
                }
            )
            yield table
            yield ""
        for finding in self.findings:
            place = finding.module or "the model"
            yield f"{finding.name} in {place}: {finding.sentence}; {finding.advice}"
        if not self.findings:
            yield f"nothing found in {self.passes} calls"
        for sentence in self.unchecked:
            yield f"not checked: {sentence}"
