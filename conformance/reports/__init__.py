"""Reports of a run: `results.json` for programs, `junit.xml` for continuous integration, `report.html` for people.

Owns: how results are told. Decides nothing, and adds nothing that the results do not hold.
"""

from conformance.reports.document import read, spell
from conformance.reports.files import ReportError, write_reports

__all__ = ["ReportError", "read", "spell", "write_reports"]
