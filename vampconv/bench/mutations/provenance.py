"""False or missing notes of where a graph's values come from; the numbers are right."""

from __future__ import annotations

from onnx import NodeProto

from vampconv.bench.mutations.editor import Editor, module_of
from vampconv.bench.mutations.family import fault
from vampconv.dialect.builder import FUSED, MODULE, VALUE


def _note(node: NodeProto, key: str) -> str:
    return next((p.value for p in node.metadata_props if p.key == key), "")


def _write(node: NodeProto, key: str, words: str | None) -> None:
    kept = [(p.key, p.value) for p in node.metadata_props if p.key != key]
    del node.metadata_props[:]
    for name, value in [*kept, *([(key, words)] if words is not None else [])]:
        node.metadata_props.add(key=name, value=value)


def _noted(editor: Editor, key: str) -> list[NodeProto]:
    return [n for n in editor.graph.node if _note(n, key)]


def _outputs(node: NodeProto) -> list[str]:
    """Names of what modules put out, which the node's value is said to be."""
    return [w for w in _note(node, VALUE).split() if not w.startswith((">", "."))]


@fault("provenance", is_certain=True)
def value_not_named(editor: Editor) -> str:
    """Of a value that is what a module puts out."""
    node = editor.pick([n for n in _noted(editor, VALUE) if _outputs(n)])
    _write(node, VALUE, None)
    return module_of(node)


@fault("provenance", is_certain=True)
def no_value_named(editor: Editor) -> tuple[str, ...]:
    nodes = _noted(editor, VALUE)
    for node in nodes:
        _write(node, VALUE, None)
    return tuple(dict.fromkeys(map(module_of, nodes)))


@fault("provenance", is_certain=True)
def values_of_two_modules_exchanged(editor: Editor) -> tuple[str, ...]:
    nodes = [n for n in _noted(editor, VALUE) if _outputs(n)]
    one, other = (nodes[i] for i in editor.random.choice(len(nodes), 2, replace=False))
    first, second = _note(one, VALUE), _note(other, VALUE)
    _write(one, VALUE, second)
    _write(other, VALUE, first)
    return module_of(one), module_of(other)


@fault("provenance", is_certain=True)
def value_said_to_be_another_modules(editor: Editor) -> tuple[str, ...]:
    nodes = [n for n in _noted(editor, VALUE) if _outputs(n)]
    one, other = (nodes[i] for i in editor.random.choice(len(nodes), 2, replace=False))
    _write(one, VALUE, _note(other, VALUE))
    return module_of(one), module_of(other)


@fault("provenance", is_certain=True)
def value_said_to_be_of_no_module(editor: Editor) -> str:
    node = editor.pick([n for n in _noted(editor, VALUE) if _outputs(n)])
    _write(node, VALUE, f"{_note(node, VALUE)} {_outputs(node)[0].partition('@')[0]}.lost")
    return module_of(node)


@fault("provenance", is_certain=True)
def name_moved_to_what_it_is_made_of(editor: Editor) -> str:
    """From the result of a module to the first value that it computes on the way."""
    nodes = [n for n in _noted(editor, VALUE) if len(editor.nodes(within=_pattern(n))) > 1 and _outputs(n)]
    node = editor.pick(nodes)
    first = editor.first(editor.nodes(within=_pattern(node)))
    words = _note(node, VALUE)
    if first.output[0] == node.output[0]:
        first = editor.nodes(within=_pattern(node))[1]
    _write(node, VALUE, None)
    _write(first, VALUE, words)
    return module_of(node)


def _pattern(node: NodeProto) -> str:
    return module_of(node).replace(".", r"\.")


@fault("provenance", is_certain=True)
def modules_said_to_be_inside_an_operator(editor: Editor) -> str:
    """A value is not named, and its module said to be fused away."""
    node = editor.pick([n for n in _noted(editor, VALUE) if _outputs(n)])
    words = " ".join(f"{w.partition('@')[0]}=Fused" for w in _outputs(node))
    rest = [w for w in _note(node, VALUE).split() if w not in _outputs(node)]
    _write(node, FUSED, f"{_note(node, FUSED)} {words}".strip())
    _write(node, VALUE, " ".join(rest) if rest else None)
    return module_of(node)


@fault("provenance", is_certain=True)
def module_missing(editor: Editor) -> str:
    node = editor.pick([n for n in editor.graph.node if module_of(n)])
    module = module_of(node)
    _write(node, MODULE, None)
    return module


@fault("provenance", is_certain=True)
def module_that_is_not_there(editor: Editor) -> str:
    node = editor.pick([n for n in editor.graph.node if module_of(n)])
    module = module_of(node)
    _write(node, MODULE, f"{module}.lost")
    return module


@fault("provenance", is_certain=True)
def module_of_another_layer(editor: Editor) -> tuple[str, ...]:
    nodes = [n for n in editor.graph.node if _outputs(n)]
    one = editor.pick(nodes)
    paths = sorted({module_of(n) for n in nodes})
    other = editor.pick(
        [p for p in paths if not module_of(one).startswith(p) and not p.startswith(module_of(one))]
    )
    modules = module_of(one), other
    _write(one, MODULE, other)
    return modules


@fault("provenance", is_certain=True)
def axes_in_another_order(editor: Editor) -> str:
    """The note tells of another order than the value has."""
    node = editor.pick([n for n in _noted(editor, VALUE) if _outputs(n)])
    words = [w.partition("@")[0] + ("" if "@021" in w else "@021") for w in _note(node, VALUE).split()]
    _write(node, VALUE, " ".join(words))
    return module_of(node)
