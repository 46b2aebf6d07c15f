"""What the user sees: summaries and tables on stdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vampconv.convert import Conversion
from vampconv.inspect.check import BundleCheck
from vampconv.optimize import Optimized
from vampconv.validation.record import RuleRecord

if TYPE_CHECKING:
    from vampconv.calibrate import Calibration

MEGABYTE = 1e6


def show_conversion(console: Console, conversion: Conversion) -> None:
    """The summary of a conversion: models, rules, and the ledger's totals."""
    verb = "would write" if conversion.dry_run else "wrote"
    console.print(f"[bold]{verb} {_plain(str(conversion.output))}[/bold]")
    show_models(console, conversion.manifest)
    show_ledger(console, conversion.manifest)
    if conversion.audit is not None:
        show_audit(console, conversion.audit)
    for note in conversion.notes:
        console.print(f"note: {_plain(note)}")


def show_optimized(console: Console, optimized: Optimized) -> None:
    """What an optimisation did: files, nodes and size before and after, rules."""
    console.print(f"[bold]wrote {_plain(str(optimized.output))}[/bold]")
    before, after = optimized.before, optimized.after
    console.print(
        f"{before.nodes} nodes, now {after.nodes}; "
        f"{before.bytes / MEGABYTE:.2f} MB, now {after.bytes / MEGABYTE:.2f} MB"
    )
    fired = ", ".join(f"{name} × {count}" for name, count in optimized.rules.items())
    console.print(f"rules: {fired or 'none fired'}")
    for note in optimized.notes:
        console.print(f"note: {_plain(note)}")


def show_models(console: Console, manifest: Mapping[str, Any]) -> None:
    """One row for each model of a bundle, and the rules that made it."""
    table = Table(
        "model", "architecture", "opset", "nodes", "weights", "MB", title="models", title_justify="left"
    )
    for entry in manifest["models"].values():
        sizes = [manifest["files"].get(f, {"bytes": 0})["bytes"] for f in (entry["file"], *entry["data"])]
        table.add_row(
            entry["file"],
            architecture_line(entry["architecture"]),
            str(entry["opset"]),
            str(entry["nodes"]),
            str(len(entry["initializers"])),
            f"{sum(sizes) / MEGABYTE:.2f}",
        )
    console.print(table)
    for entry in manifest["loops"].values():
        console.print(f"{entry['file']}: the sampling loop around {entry['of']}, draws: {entry['draws']}")
    for entry in manifest.get("whole", {}).values():
        console.print(f"{entry['file']}: from audio to audio, of {', '.join(entry['of'])}")
    for entry in manifest["models"].values():
        fired = ", ".join(f"{name} × {count}" for name, count in entry["rules"].items())
        console.print(f"{entry['file']}: {fired}")
    for plugin in manifest.get("plugins", ()):
        if plugin.get("distribution") != "vampconv":
            console.print(f"plugin: {_plain(plugin['name'])} {_plain(str(plugin['version'] or ''))}".rstrip())


def show_calibration(console: Console, calibration: Calibration) -> None:
    """What each product costs alone, and all of them, and those that are not kept."""
    title = f"{calibration.part}: divergence from float32 in nats"
    table = Table("in few bits", "divergence", "tokens agree", "", title=title, title_justify="left")
    for unit, found in calibration.alone.items():
        is_kept = any(m == unit or m.startswith(f"{unit}.") for m in calibration.kept)
        table.add_row(_plain(unit), f"{found.divergence:.2e}", f"{found.agreement:.2%}", "kept" * is_kept)
    table.add_section()
    for name, found in (("everything", calibration.everything), ("all but what is kept", calibration.rest)):
        table.add_row(name, f"{found.divergence:.2e}", f"{found.agreement:.2%}", "")
    console.print(table)


def show_audit(console: Console, audit: Mapping[str, Sequence[RuleRecord]]) -> None:
    """One row for each rule of each model: how many of its firings were checked, and its largest error."""
    title = "audit: every firing on its own weights, errors over the root mean square"
    table = Table(
        "model", "rule", "checked", "largest error", "claim", "at", title=title, title_justify="left"
    )
    for part, records in audit.items():
        for r in records:
            row = (f"{r.checked} of {r.fired}", f"{r.largest_error:.2g}", r.claim, r.worst.partition(":")[2])
            table.add_row(part, *map(_plain, (r.rule, *row)))
    console.print(table)
    for part, records in audit.items():
        for record in records:
            for reason, count in record.unchecked.items():
                console.print(f"not checked: {part}: {_plain(f'{record.rule} × {count}: {reason}')}")


def architecture_line(a: Mapping[str, Any]) -> str:
    """The sizes of a model in one line."""
    if "encoder_rates" in a:
        rates = ("×".join(map(str, a[key])) for key in ("encoder_rates", "decoder_rates"))
        widths = " and ".join(
            f"{a[key]} × [{r}]" for key, r in zip(("encoder_dim", "decoder_dim"), rates, strict=True)
        )
        return f"{widths}, {a['n_codebooks']} codebooks of {a['codebook_size']}, {a['sample_rate']} Hz, hop {a['hop']}"
    if "nblocks" in a:
        return f"{a['nblocks']} blocks, {a['channels'][-1]} channels, {a['sample_rate']} Hz"
    if "n_layers" not in a:
        return _plain(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in a.items()))
    parts = [f"{a['n_layers']} layers", f"{a['n_heads']} heads", f"dim {a['embedding_dim']}"]
    parts.append(f"{a['n_codebooks']} codebooks of {a['vocab_size']}")
    if a["n_conditioning_codebooks"]:
        parts.append(f"{a['n_conditioning_codebooks']} condition")
    if a["r_cond_dim"]:
        parts.append(f"FiLM {a['r_cond_dim']}")
    parts += [f"control {_plain(name)} ({dim})" for name, dim in a["ctrl_dims"].items()]
    return ", ".join(parts + (["flash_attn"] if a["flash_attn"] else []))


def show_ledger(console: Console, manifest: Mapping[str, Any]) -> None:
    """One row for each checkpoint: how many tensors met each fate."""
    table = Table("checkpoint", "kind", "tensors", "accounted for", title="ledger", title_justify="left")
    for checkpoint in manifest["checkpoints"]:
        fates = Counter(t["fate"] for t in checkpoint["tensors"])
        told = ", ".join(f"{count} {fate}" for fate, count in fates.items())
        settled = sum(count for fate, count in fates.items() if fate)
        count = len(checkpoint["tensors"])
        table.add_row(
            _plain(checkpoint["file"]), checkpoint["kind"], str(count), f"{settled} of {count}: {told}"
        )
    console.print(table)


def show_checkpoint(console: Console, facts: Mapping[str, Any]) -> None:
    """A checkpoint: what it is, its tensors, and the graph that they make."""
    console.print(f"[bold]{_plain(facts['file'])}[/bold]: {facts['kind']}, {facts['format']}")
    console.print(
        f"{facts['parameters']:,} parameters in {len(facts['tensors'])} tensors, {facts['bytes']:,} bytes"
    )
    if "architecture" in facts:
        part = facts["architecture"].get("kind")
        console.print(f"{part}: " * bool(part) + architecture_line(facts["architecture"]))
    if "codebooks" in facts:
        console.print(f"{facts['codebooks']} codebooks of {facts['vocab_size']}")
    _show_tensors(console, facts["tensors"], "fate", "fate")
    if "graph" in facts:
        graph = facts["graph"]
        console.print(f"graph: {graph['nodes']} nodes, {graph['initializers']} initializers")
        console.print("rules: " + ", ".join(f"{name} × {count}" for name, count in graph["rules"].items()))
    for warning in facts["warnings"]:
        console.print(f"[bold]warning[/bold]: {_plain(warning)}")
    if "problem" in facts:
        console.print(f"[bold]cannot be converted[/bold]: {_plain(facts['problem'])}")


def show_bundle(console: Console, content: Mapping[str, Any]) -> None:
    """A bundle: its models, the weights of each with what they were computed from, and the ledger."""
    show_models(console, content)
    for entry in content["models"].values():
        console.print(f"[bold]{entry['file']}[/bold]")
        _show_tensors(console, entry["initializers"], "computed as", "expression")
    show_ledger(console, content)


def show_check(console: Console, found: BundleCheck) -> None:
    """Whether the files of a bundle are as they were written."""
    table = Table("file", "bytes", "sha256", "", title=_plain(found.bundle), title_justify="left")
    for file in found.files:
        size = "-" if file.bytes is None else f"{file.bytes:,}"
        table.add_row(_plain(file.file), size, file.sha256 or "-", _plain(file.state))
    console.print(table)
    console.print(f"all are compared with vampconv.json, sha256 {found.manifest_sha256}")


def show_runs(console: Console, rows: list[dict[str, Any]]) -> None:
    """Trial runs of the models of a bundle."""
    table = Table(
        "model", "input", "output", "finite", "ms", title="runs in ONNX Runtime", title_justify="left"
    )
    for row in rows:
        shapes = (str(row["input"]), str(row["output"]))
        table.add_row(row["file"], *shapes, "yes" if row["finite"] else "NO", f"{row['milliseconds']:.2f}")
    console.print(table)


def _show_tensors(console: Console, rows: list[dict[str, Any]], title: str, key: str) -> None:
    """One row for each tensor; the last column has this title and the rows' values of `key`."""
    table = Table("tensor", "shape", "dtype", "min", "max", "mean", "std", "non-finite", title)
    for row in rows:
        s = row["statistics"]
        numbers = ["-" if s[k] is None else f"{s[k]:.4g}" for k in ("min", "max", "mean", "std")]
        shape = "×".join(map(str, row["shape"])) or "scalar"
        table.add_row(
            _plain(row["name"]), shape, row["dtype"], *numbers, str(s["non_finite"]), _plain(row[key])
        )
    console.print(table)


def _plain(text: str) -> str:
    """Text of a file, without markup or control characters."""
    return escape("".join(c if c.isprintable() else "?" for c in text))
