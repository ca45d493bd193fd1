"""The live view of a run is drawn by a thread while the loop goes on."""

from __future__ import annotations

import threading

from arcbook.cli.progress import Live
from arcbook.engine.state import State
from arcbook.events.types import CommandSuspended, Recorded, StepEnter, Wait, WaitKind
from arcbook.executions import Progress


def entered(number: int) -> Recorded:
    return Recorded(number, number, StepEnter(step=f"s{number}", visit=1))


def test_a_view_is_drawn_while_steps_come():
    view = Live("p")
    failed: list[RuntimeError] = []
    ended = threading.Event()

    def draw() -> None:
        try:
            while not ended.is_set():
                view._draw()
        except RuntimeError as error:
            failed.append(error)

    drawing = threading.Thread(target=draw)
    drawing.start()
    for number in range(1, 5_000):
        view.listen(1, [entered(number)], State(execution_id=1))
    ended.set()
    drawing.join()

    assert not failed
    assert view._latest(3)[-1].name == "s4999"


def test_what_is_drawn_does_not_change_any_more():
    view = Live("p")
    view.listen(1, [entered(1)], State(execution_id=1))
    (shown,) = view._latest(9)
    view.listen(1, [Recorded(2, 9, StepEnter(step="s1", visit=2))], State(execution_id=1))

    assert (shown.visits, shown.entered_at) == (1, 1)


def test_a_step_of_which_the_beginning_was_not_told_began_when_it_was_first_told_of():
    progress = Progress()
    wait = Wait(kind=WaitKind.CALLBACK)
    suspended = CommandSuspended(step="ask", command_id="c", visit=1, wait=wait, state={})
    progress.add([Recorded(8, 1_000, suspended)])

    assert progress.steps["ask"].entered_at == 1_000
