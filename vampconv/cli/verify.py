"""``vampconv verify``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from vampconv.cli.common import PATH, Sizes, console, progress, require_extra
from vampconv.errors import VerificationError


@click.command()
@click.argument("bundle", type=PATH, required=False)
@click.option(
    "--against", type=PATH, multiple=True, metavar="CKPT", help="Checkpoint of it [by hash, nearby]."
)
@click.option("--layerwise", is_flag=True, help="Compare every value, not the outputs only.")
@click.option("--lengths", type=Sizes(), default="1,13,100", show_default=True, help="Time steps.")
@click.option("--batches", type=Sizes(), default="1,2", show_default=True)
@click.option("--seeds", type=int, default=1, show_default=True, help="Random inputs of each size.")
@click.option("--audio", type=PATH, help="Encode and decode a file by both, into WAV files side by side.")
@click.option("--bisect", is_flag=True, help="Name the rule at fault, and cut out the faulty layer.")
@click.option("--rules", "rule_directories", type=PATH, multiple=True, help="Rules that it was made with.")
@click.option("--enable", multiple=True, metavar="NAME", help="Installed plugin that it was made with.")
@click.option("--json", "json_file", type=PATH, help="Write the result as JSON.")
@click.option("--html", "html_file", type=PATH, help="Write a report for people.")
@click.option("--junit", "junit_file", type=PATH, help="Write the result for CI systems.")
def verify(
    bundle: Path | None,
    json_file: Path | None,
    html_file: Path | None,
    junit_file: Path | None,
    **options: Any,
) -> None:
    """Compare a bundle, value by value, with the checkpoints that it was made from.

    The bundle is the one in or right under this directory, unless it is given.
    """
    require_extra()
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it when it first allocates
    from vampconv.verify import report
    from vampconv.verify.accuracy import write_accuracy
    from vampconv.verify.verify import Request
    from vampconv.verify.verify import verify as verify_bundle

    written = next((f for f in (html_file, json_file) if f is not None), Path("here"))
    request = Request(bundle, audio_directory=written.parent, **options)
    with report.reports(json=json_file, html=html_file, junit=junit_file) as write:
        with progress("verifying", counted=True) as advance:
            found = verify_bundle(request, advance)
        write(found)
    report.show(console(), found, layerwise=options["layerwise"])
    if trouble := write_accuracy(found, Path(found.bundle)):
        console().print(trouble)
    if found.verdict is found.verdict.FAIL:
        raise VerificationError(f"{found.bundle} does not compute what its checkpoints do", "see above")
