"""Recording the reference: every module's values by name, what is the same tensor, and nothing that is not wanted."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from vampconv.errors import VerificationError
from vampconv.verify.truth import arranged, recording


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


class Pair(nn.Module):
    """Two tensors and something else."""

    def forward(self, x):
        return x + 1, x + 2, None


class Outer(nn.Module):
    """Puts out what its last module does."""

    def __init__(self):
        super().__init__()
        self.first, self.last = Double(), Double()

    def forward(self, x):
        return self.last(self.first(x))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.outer = Outer()
        self.pair = Pair()
        self.nothing = nn.Identity()
        self.count = Count()
        self.unused = Double()

    def forward(self, x):
        x = self.outer(x)
        one, two, _ = self.pair(x)
        self.count(one)
        one, two = self.nothing(one), self.nothing(two)
        return one, two


class Count(nn.Module):
    """Puts out no tensor."""

    def forward(self, x):
        return x.numel()


def recorded(model, x, kept=None):
    with recording(model, kept) as record:
        outputs = model(x)
    return record, outputs


def test_every_output_and_input_has_its_name():
    record, _ = recorded(Model(), torch.ones(3))
    found = {name: float(value[0]) for name, value in record.values.items()}
    assert found == {
        ">outer": 1,
        ">outer.first": 1,
        "outer.first": 2,
        ">outer.last": 2,
        "outer.last": 4,
        "outer": 4,
        ">pair": 4,
        "pair": 5,
        "pair#1": 6,
        ">count": 5,
        ">nothing": 6,
        "nothing": 6,
    }


def test_calls_are_listed_as_they_end_and_only_those_that_put_out_a_tensor():
    record, _ = recorded(Model(), torch.ones(3))
    assert record.calls == ["outer.first", "outer.last", "outer", "pair", "nothing", "nothing"]


def test_of_a_module_that_is_called_twice_the_last_call_is_kept():
    record, (_, two) = recorded(Model(), torch.ones(3))
    assert record.values["nothing"] is two
    assert record.values[">nothing"] is two


def test_what_passes_its_input_on_or_puts_out_what_a_module_inside_it_does():
    record, _ = recorded(Model(), torch.ones(3))
    assert record.same == {"outer": "outer.last", "nothing": ">nothing"}
    assert record.values["outer"] is record.values["outer.last"]


class Views(nn.Module):
    """The same numbers, but other tensors."""

    def __init__(self):
        super().__init__()
        self.inner = Double()

    def forward(self, x):
        return self.inner(x).transpose(0, 1)


def test_a_view_is_another_tensor():
    model = nn.Sequential(Views(), nn.Flatten(0))
    record, _ = recorded(model, torch.ones(2, 3))
    assert record.same == {}
    assert record.calls == ["0.inner", "0", "1"]
    assert record.values["0"].shape == (3, 2)
    assert record.values["0.inner"].shape == (2, 3)


class Swaps(nn.Module):
    """Puts out its second input first."""

    def forward(self, one, two):
        return two, one


def test_several_inputs_are_numbered():
    model = nn.ModuleDict({"a": Swaps()})
    one, two = torch.ones(1), torch.zeros(1)
    with recording(model) as record:
        model["a"](one, two)
    assert record.values == {">a": one, ">a#1": two, "a": two, "a#1": one}
    assert record.same == {}


def test_tensors_that_are_gone_are_not_taken_for_new_ones():
    """Python gives the place of a tensor that is gone to the next one."""
    model = nn.ModuleDict({str(i): Double() for i in range(50)})
    with recording(model, frozenset()) as record:
        for module in model.values():
            module(torch.ones(2))
    assert len(record.calls) == 50
    assert record.same == {}
    assert record.values == {}


def test_only_what_is_kept_stays_with_its_other_names():
    record, _ = recorded(Model(), torch.ones(3), frozenset({"outer.last", "pair#1", "missing"}))
    assert sorted(record.values) == [">nothing", ">pair", "nothing", "outer", "outer.last", "pair#1"]
    assert record.same == {"outer": "outer.last", "nothing": ">nothing"}
    assert record.calls == recorded(Model(), torch.ones(3))[0].calls


def test_an_input_that_is_kept_has_its_names_inside_as_well():
    """It is known before the modules inside take it."""
    record, _ = recorded(Model(), torch.ones(3), frozenset({">outer"}))
    assert sorted(record.values) == [">outer", ">outer.first"]


class Watched(nn.Module):
    def __init__(self, seen):
        super().__init__()
        self.inner, self.seen = Double(), seen

    def forward(self, x):
        y = self.inner(x)
        self.seen.append(weakref.ref(y))
        return y + 1


def test_what_is_not_kept_is_let_go():
    seen = []
    model = nn.Sequential(*(Watched(seen) for _ in range(3)))
    record, _ = recorded(model, torch.ones(3), frozenset({"1.inner"}))
    gc.collect()
    assert [tensor() is not None for tensor in seen] == [False, True, False]
    assert list(record.values) == ["1.inner"]


class Fails(nn.Module):
    def forward(self, x):
        raise ArithmeticError(x)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(fails):
    model = nn.Sequential(Double(), Fails() if fails else Double())
    with pytest.raises(ArithmeticError) if fails else nullcontext(), recording(model) as record:
        model(torch.ones(1))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not torch.is_inference_mode_enabled()
    calls = list(record.calls)
    model[0](torch.ones(1))
    assert record.calls == calls == (["0"] if fails else ["0", "1"])


def test_nothing_is_recorded_of_the_model_itself_and_no_gradients():
    model = nn.Linear(2, 2)
    record, y = recorded(model, torch.ones(1, 2))
    assert record.values == {}
    assert record.calls == []
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("order", "shape"),
    [
        ("", (2, 3, 5)),
        ("021", (2, 5, 3)),
        ("201", (5, 2, 3)),
        ("+", (1, 2, 3, 5)),
        ("+201", (1, 5, 2, 3)),
    ],
)
def test_axes_are_put_in_the_order_of_the_graph(order, shape):
    x = torch.arange(30).reshape(2, 3, 5)
    found = arranged(x, order)
    assert found.shape == shape
    back = found[0] if order.startswith("+") else found
    for axis, taken in enumerate(order.removeprefix("+") or "012"):
        assert torch.equal(back.select(axis, 1), x.select(int(taken), 1).permute(_rest(order, axis)))


@pytest.mark.parametrize("order", ["01", "0123", "011", "+02", "123", "0a1", "++012"])
def test_an_order_that_is_none_of_the_axes_is_refused(order):
    with pytest.raises(VerificationError, match="a value of 3 dimensions is said to have them in the order"):
        arranged(torch.zeros(2, 3, 5), order)


def _rest(order, axis):
    """Order of the two axes that remain when one is taken away."""
    left = [int(c) for i, c in enumerate(order.removeprefix("+") or "012") if i != axis]
    return [sorted(left).index(c) for c in left]
