"""Reports of a verification: for the terminal, for people, for programs and for CI systems."""

from vampconv.verify.report.files import reports, write_html, write_json, write_junit
from vampconv.verify.report.html import as_html
from vampconv.verify.report.json_report import as_json
from vampconv.verify.report.terminal import show

__all__ = ["as_html", "as_json", "reports", "show", "write_html", "write_json", "write_junit"]
