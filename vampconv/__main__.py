"""``python -m vampconv``."""

from vampconv.cli import main

main()
