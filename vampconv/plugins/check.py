"""What a plugin declares must be what it says, and what it brings may only fail by an error of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from vampconv.dialect import OPS, Op
from vampconv.errors import PluginError, VampconvError
from vampconv.frontend.frontend import Draft, Frontend, Share
from vampconv.plugins.plugin import Plugin
from vampconv.rewrite import Rule
from vampconv.rewrite.target import Target

T = TypeVar("T")


def checked(plugin: Plugin, who: str) -> Plugin:
    """The plugin, with frontends that raise errors of ours alone.

    Raises
    ------
    PluginError
        If something in it is not of its kind.

    """
    for name, kind in (("rules", Rule), ("ops", Op)):
        for item in _listed(plugin, name, who):
            if not (isinstance(item, type) and issubclass(item, kind)):
                raise PluginError(
                    f"plugin {who}: `{name}` holds {item!r}", f"give classes of {kind.__name__}"
                )
    for name, of in (("frontends", Frontend), ("targets", Target)):
        for item in _listed(plugin, name, who):
            if not isinstance(item, of):
                raise PluginError(f"plugin {who}: `{name}` holds {item!r}", f"give a {of.__name__}")
    for op in plugin.ops:
        _check_op(op, who)
    for family, reference in plugin.subjects.items():
        if reference.count(":") != 1:
            raise PluginError(
                f"plugin {who}: the subject of {family} is {reference!r}", 'write it as "module:function"'
            )
    return replace(plugin, frontends=tuple(guarded(f, who) for f in plugin.frontends))


def _check_op(op: type[Op], who: str) -> None:
    lacking = [piece for piece in ("shape", "meaning") if not hasattr(op, piece)]
    if lacking:
        raise PluginError(f"plugin {who}: op {op.__name__} lacks {', '.join(lacking)}", "mend the op")
    known = OPS.get(op.__name__)
    if known is not op:
        where = f"another one, in {known.__module__}" if known else "none that is defined"
        raise PluginError(f"plugin {who}: the op vamp.{op.__name__} is {where}", "rename the op")


def _listed(plugin: Plugin, name: str, who: str) -> list[Any]:
    found = getattr(plugin, name)
    if not isinstance(found, Iterable):
        raise PluginError(f"plugin {who}: `{name}` is {found!r}", "give a sequence")
    return list(found)


def guarded(frontend: Frontend, who: str) -> Frontend:
    """The frontend, whose functions raise a `PluginError` that names the plugin where they raise at all."""

    def safe(function: Callable[..., T]) -> Callable[..., T]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> T:
            try:
                return function(*arguments, **options)
            except VampconvError:
                raise
            except (Exception, SystemExit) as error:
                raise PluginError(
                    f"plugin {who}: its frontend of a {frontend.kind} raised {type(error).__name__}: {error}",
                    "mend the frontend, or do not enable it",
                ) from error

        return call

    def drafts(found: Iterable[Draft]) -> list[Draft]:
        return [replace(draft, build=safe(draft.build)) for draft in found]

    def join(given: Any) -> list[Share]:
        assert frontend.join is not None
        return [replace(share, drafts=drafts(share.drafts)) for share in frontend.join(given)]

    return replace(
        frontend,
        recognises=safe(frontend.recognises),
        read=safe(lambda weights: drafts(frontend.read(weights))),
        join=None if frontend.join is None else safe(join),
        describe=safe(frontend.describe),
        fate=safe(frontend.fate),
    )
