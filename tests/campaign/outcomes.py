"""How a trial can end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Outcome(str, Enum):
    """What came of one trial; the last five are failures."""

    REFUSED = "refused"  # an InputError, or exit code 2 with one line
    IDENTICAL = "identical"  # everything that was read, or that a command left, equals the original
    OTHER = "another valid"  # accepted, and rightly so: a format without digests, or an edit that made new ones
    WRONG = "wrong"  # accepted, but it differs; or something was lost or left behind
    CRASH = "crash"  # ended by a signal
    HANG = "hang"  # over the limit on time
    EXCEPTION = "exception"  # any other exception, exit code 1, a traceback, or a refusal that is not one clean line
    MEMORY = "memory"  # over the limit on memory

    @property
    def failed(self) -> bool:
        """Whether it must not happen."""
        return self not in (Outcome.REFUSED, Outcome.IDENTICAL, Outcome.OTHER)


@dataclass(frozen=True)
class Result:
    """One trial, as kept in trials.jsonl.

    Parameters
    ----------
    subject, number, seed : what makes the trial again
    case : what was done, in words
    outcome, message : how it ended
    seconds : of wall time
    memory : bytes, the most that it took beyond what it had when it began
    """

    subject: str
    number: int
    seed: int
    case: str
    outcome: Outcome
    message: str
    seconds: float
    memory: int

    def as_json(self) -> dict[str, Any]:
        """For json.dumps."""
        return {**asdict(self), "outcome": self.outcome.value}
