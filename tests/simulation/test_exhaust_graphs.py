"""Every small graph, in every order."""

from __future__ import annotations

import pytest

from arcbook.engine import firing, leaving, loops
from arcbook.testing.exhaust import Size, explore
from arcbook.testing.exhaust.shapes import shapes
from arcbook.testing.exhaust.sizes import SIZES
from arcbook.testing.simulate.checks import BrokenError

SMALL = Size("small", 3, ("plain", "error"), ("back",), 1, joins=(0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_everything_holds_in_every_graph_and_order(size):
    counts = explore(size)

    assert counts.graphs == len(list(shapes(size)))
    assert counts.ends >= counts.graphs


def test_every_graph_comes_once():
    found = list(shapes(SMALL))

    assert len(set(found)) == len(found)


def test_graphs_are_the_same_whatever_their_steps_are_called():
    one_way_and_a_branch = list(shapes(Size("four", 4, ("plain",), joins=(0,))))
    chains = [
        s
        for s in one_way_and_a_branch
        if all(len(r.arrows) <= 1 for r in s.routes) and s.is_acyclic
    ]

    assert len(chains) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "where", "name", "wrong"),
    [
        ("skip", leaving, "_skip_unreachable", lambda *_: None),
        ("fan-in", firing, "live_mask", lambda _: 0),
        ("stuck", loops, "advance", lambda _: False),
        ("told", firing, "_issue", lambda *_: None),
    ],
)
def test_an_engine_that_is_wrong_is_found_out(monkeypatch, rule, where, name, wrong):
    monkeypatch.setattr(where, name, wrong)
    size = Size("loops", 3, ("plain", "error"), joins=(0,), loops=SIZES[4].loops[-1:])

    with pytest.raises(BrokenError) as caught:
        explore(size)

    assert caught.value.rule == rule
    assert "in the graph" in str(caught.value)
