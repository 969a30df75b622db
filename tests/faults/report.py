"""What a run says of itself, and the page that says it of all runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.checker import Finding

FINDINGS_SHOWN = 20


@dataclass(frozen=True)
class Report:
    """`void` says why the run proves nothing; empty when it proves something."""

    name: str
    seed: int
    seconds: float
    faults: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    void: str = ""

    @property
    def good(self) -> bool:
        return not self.findings and not self.void

    @property
    def word(self) -> str:
        if self.findings:
            return f"{len(self.findings)} findings"
        return f"void: {self.void}" if self.void else "kept"


def page(reports: Sequence[Report], command: str) -> str:
    """One page of Markdown."""
    lines = [
        "# Long runs under faults",
        "",
        f"`{command}`",
        "",
        "| run | seed | verdict | seconds |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {r.name} | {r.seed} | {r.word} | {r.seconds:.0f} |" for r in reports]
    for report in reports:
        lines += ["", f"## {report.name}", ""]
        lines += [f"* faults: {_told(report.faults)}", f"* figures: {_told(report.figures)}"]
        lines += [
            f"* {finding.rule}: {finding.what}" for finding in report.findings[:FINDINGS_SHOWN]
        ]
        hidden = len(report.findings) - FINDINGS_SHOWN
        if hidden > 0:
            lines.append(f"* and {hidden} more findings")
    return "\n".join(lines) + "\n"


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items()) or "none"
