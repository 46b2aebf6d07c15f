"""Which rules are used, and in which order: by stage, then as declared, then as they were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from vampconv.errors import PluginError, UsageError
from vampconv.rewrite.rule import Rule
from vampconv.rewrite.stage import Stage

PIECES = ("stage", "claim", "before", "after", "evidence")


def select_rules(
    rules: Iterable[type[Rule]],
    *,
    enable: Sequence[str] = (),
    disable: Sequence[str] = (),
    groups: Mapping[str, Sequence[type[Rule]]] | None = None,
    hint: str = "",
) -> list[type[Rule]]:
    """The rules to use, in their order: those on by default, as switched by name.

    How two of them stand to each other does not depend on which others are on.

    Parameters
    ----------
    rules
        All that there are.
    enable, disable
        Names of rules or groups; what is disabled stays so.
    groups
        Rules that one name stands for: those of a plugin. To enable a group does not enable those of its
        rules that are off by default.
    hint
        What else to say of a name that is not known.

    Raises
    ------
    PluginError
        If two rules have one name, one lacks a piece or names no stage, or the order goes round in a circle.
    UsageError
        If a switch names nothing.

    """
    groups = groups or {}
    by_name = named(rules)
    for name in (*enable, *disable):
        if name not in by_name and name not in groups:
            near = get_close_matches(name, [*by_name, *groups], n=1)
            known = f"did you mean {near[0]}?" if near else f"known: {', '.join([*by_name, *groups])}"
            raise UsageError(f"there is no rule {name}", f"{hint}{known}")
    off = {rule for name in disable for rule in groups.get(name, ())}
    return [
        rule
        for rule in in_order(list(by_name.values()))
        if (rule.default or rule.__name__ in enable) and rule.__name__ not in disable and rule not in off
    ]


def named(rules: Iterable[type[Rule]]) -> dict[str, type[Rule]]:
    """Rules by their names, each checked to be whole.

    Raises
    ------
    PluginError
        If two rules have one name, or one lacks a piece or names no stage.

    """
    by_name: dict[str, type[Rule]] = {}
    for rule in rules:
        _check_whole(rule)
        if by_name.setdefault(rule.__name__, rule) is not rule:
            owners = f"{by_name[rule.__name__].__module__} and {rule.__module__}"
            raise PluginError(f"two rules are named {rule.__name__} (in {owners})", "rename one of them")
    return by_name


def in_order(rules: Sequence[type[Rule]]) -> list[type[Rule]]:
    """Rules by stage; within one each after those that it must follow, and else as they were given.

    A rule moves forward only if one that was given before it must follow it.

    Raises
    ------
    PluginError
        If the declared order goes round in a circle, or against the stages.

    """
    stages = list(Stage)
    given = sorted(rules, key=lambda rule: stages.index(rule.stage))
    earlier = _earlier(given)
    placed: dict[type[Rule], None] = {}
    for rule in given:
        _place(rule, earlier, placed, [])
    return list(placed)


def _earlier(rules: Sequence[type[Rule]]) -> dict[type[Rule], list[type[Rule]]]:
    """For every rule those that must come before it; names of rules that are not there say nothing."""
    stages, by_name = list(Stage), {rule.__name__: rule for rule in rules}
    pairs = [(by_name[n], r) for r in rules for n in r.runs_after if n in by_name]
    pairs += [(r, by_name[n]) for r in rules for n in r.runs_before if n in by_name]
    for first, second in pairs:
        if stages.index(first.stage) > stages.index(second.stage):
            raise PluginError(
                f"rule {first.__name__} (stage {first.stage.label}) is to run before {second.__name__} "
                f"(stage {second.stage.label}), whose stage comes first",
                "mend `after=` or `before=` of the one that declares it, or its stage",
            )
    return {rule: [first for first, second in pairs if second is rule] for rule in rules}


def _place(
    rule: type[Rule],
    earlier: Mapping[type[Rule], Sequence[type[Rule]]],
    placed: dict[type[Rule], None],
    path: list[type[Rule]],
) -> None:
    """Put a rule behind those placed, after what must come before it."""
    if rule in placed:
        return
    if rule in path:
        circle = [*path[path.index(rule) :], rule]
        raise PluginError(
            f"the order of rules goes round in a circle: {' after '.join(r.__name__ for r in circle)}",
            "mend their `after=` and `before=`, or leave one of their plugins out",
        )
    for other in earlier[rule]:
        _place(other, earlier, placed, [*path, rule])
    placed[rule] = None


def _check_whole(rule: type[Rule]) -> None:
    lacking = [piece for piece in PIECES if not hasattr(rule, piece)]
    if lacking:
        raise PluginError(
            f"rule {rule.__name__} (in {rule.__module__}) lacks {', '.join(lacking)}", "see rules/README.md"
        )
    stage: object = rule.stage
    if not isinstance(stage, Stage):
        stages = ", ".join(f"Stage.{stage.name}" for stage in Stage)
        raise PluginError(
            f"rule {rule.__name__} (in {rule.__module__}) has the stage {stage!r}", f"give one of {stages}"
        )
