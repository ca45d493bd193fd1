"""Checks of a whole playbook: names, the graph, jumps, forks, and cycles without an exit."""

from __future__ import annotations

import re
from typing import Final

from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.graph import Graph, bits, build, components
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.model import Arc, Do, Loop, Playbook, Router, RouterMode, Step
from arcbook.dsl.names import OWN, RESERVED, WORDS, secrets_outside_tasks, written_names
from arcbook.dsl.source import Position
from arcbook.template.render import is_template

PREVIOUS: Final = frozenset({"previous", "prev", "_previous", "@previous"})


def check(playbook: Playbook, report: Report, kinds: Kinds) -> None:
    """Report the errors and warnings of the playbook as a whole."""
    graph = build(
        [s.name for s in playbook.steps], [[a.to for a in s.router.arcs] for s in playbook.steps]
    )
    _Checker(playbook, report, kinds, graph).run()


class _Checker:
    def __init__(self, playbook: Playbook, report: Report, kinds: Kinds, graph: Graph) -> None:
        self.playbook = playbook
        self.report = report
        self.kinds = kinds
        self.graph = graph
        self.index = {name: i for i, name in enumerate(graph.names)}

    def run(self) -> None:
        self._names()
        self._targets()
        self._entry()
        for step in self.playbook.steps:
            self._tasks(step)
            if step.loop:
                self._loop(step, step.loop)
        self._reachability()
        self._forks()
        self._never_taken()
        self._endless()
        self._collisions()
        self._secrets()

    # -- names ------------------------------------------------------------------------

    def _names(self) -> None:
        seen: dict[str, Position] = {}
        for step in self.playbook.steps:
            if step.name in seen:
                line = seen[step.name].line
                message = f"step {step.name!r} is already defined on line {line}"
                self._error("ARC201", message, step.position, "rename one of them", step.name)
            seen.setdefault(step.name, step.position)
        seen = {}
        for entry in self.playbook.keychain:
            if entry.name in seen:
                line = seen[entry.name].line
                message = f"keychain name {entry.name!r} is already defined on line {line}"
                self._error("ARC202", message, entry.position, "rename one of them")
            seen.setdefault(entry.name, entry.position)

    def _targets(self) -> None:
        for step in self.playbook.steps:
            for arc in step.router.arcs:
                if arc.to not in self.index and arc.to != "?":
                    message = f"step {step.name!r} routes to {arc.to!r}, which does not exist"
                    near = "" if self.report.is_full else did_you_mean(arc.to, self.index)
                    hint = near or "define the step, or remove the arc"
                    self._error("ARC203", message, arc.position, hint, step.name)

    def _entry(self) -> None:
        book = self.playbook
        for name, key in ((book.entry, "entry_step"), (book.final, "final_step")):
            if name is not None and name not in self.index:
                hint = did_you_mean(name, self.index) or "name one of the playbook's steps"
                place = book.places.get(key, book.position)
                self._error(
                    "ARC204",
                    f"executor.spec.{key} names step {name!r}, which does not exist",
                    place,
                    hint,
                )
        if book.no_next_is_error:
            for step in book.steps:
                if not step.router.arcs and step.name not in ("end", book.final):
                    message = f"step {step.name!r} has no 'next', and 'no_next_is_error' is set"
                    self._error("ARC205", message, step.position, "write 'next'", step.name)

    # -- tasks ------------------------------------------------------------------------

    def _tasks(self, step: Step) -> None:
        labels: dict[str, Position] = {}
        for task in step.tasks:
            if task.label in labels:
                message = f"task label {task.label!r} is already used in step {step.name!r}"
                self._error("ARC206", message, task.position, "rename one of them", step.name)
            labels.setdefault(task.label, task.position)
        for at, task in enumerate(step.tasks):
            for rule in task.rules:
                if rule.do is not Do.JUMP or rule.to is None or rule.to in labels:
                    continue
                if rule.to in PREVIOUS:
                    if at == 0:
                        message = "the first task has no previous one to jump to"
                        self._error("ARC207", message, rule.position, "name a task", step.name)
                    continue
                message = f"step {step.name!r} has no task {rule.to!r} to jump to"
                hint = did_you_mean(rule.to, labels) or f"its tasks are {', '.join(labels)}"
                self._error("ARC207", message, rule.position, hint, step.name)
        self._unreachable_rules(step)

    def _unreachable_rules(self, step: Step) -> None:
        for task in step.tasks:
            reachable = True
            for rule in task.rules:
                if not reachable:
                    message = "this rule is never reached: an earlier rule always applies"
                    hint = "move it before that one, or remove it"
                    self._warning("ARC208", message, rule.position, hint, step.name)
                reachable = reachable and rule.when is not True

    def _loop(self, step: Step, loop: Loop) -> None:
        if loop.iterator in RESERVED - {"loop"}:
            message = f"iterator {loop.iterator!r} shadows a reserved name"
            self._warning("ARC303", message, loop.position, "choose another name", step.name)
        if loop.cursor and self.kinds.kind(loop.cursor.kind) is None:
            message = f"there is no tool kind {loop.cursor.kind!r} to claim rows"
            names = self.kinds.names()
            hint = did_you_mean(loop.cursor.kind, names) or f"there are {', '.join(sorted(names))}"
            self._error("ARC401", message, loop.cursor.position, hint, step.name)
        if isinstance(loop.items, str) and not is_template(loop.items):
            message = f"'in' is the text {loop.items!r}, not a template"
            hint = 'write "{{ name_of_a_list }}"'
            if loop.items.isidentifier():
                hint = f'write "{{{{ {loop.items} }}}}"'
            self._warning("ARC209", message, loop.position, hint, step.name)

    # -- the graph --------------------------------------------------------------------

    def _reachability(self) -> None:
        entry = self.index.get(self.playbook.entry)
        if entry is None:
            return
        reached = self.graph.reach[entry] | 1 << entry
        if self.playbook.final in self.index:
            final = self.index[self.playbook.final]
            reached |= self.graph.reach[final] | 1 << final
        for i, step in enumerate(self.playbook.steps):
            if not reached >> self.index[step.name] & 1 and self.index[step.name] == i:
                message = f"no path leads to step {step.name!r}; it never runs"
                self._warning(
                    "ARC211", message, step.position, "route to it, or remove it", step.name
                )

    def _forks(self) -> None:
        for step in self.playbook.steps:
            router = step.router
            targets = [self.index[a.to] for a in router.arcs if a.to in self.index]
            if router.mode is not RouterMode.INCLUSIVE or len(targets) < 2:
                continue
            common = -1
            for target in targets:
                common &= self.graph.reach[target] | 1 << target
            if not common:
                message = f"the branches that leave {step.name!r} never meet again"
                hint = "route them to one step if what follows needs all of them"
                self._warning("ARC212", message, router.position, hint, step.name)

    def _never_taken(self) -> None:
        for step in self.playbook.steps:
            if step.router.mode is not RouterMode.EXCLUSIVE:
                continue
            is_taken = False
            for arc in step.router.arcs:
                if is_taken and not _may_catch(arc):
                    message = f"the arc to {arc.to!r} is never taken: an earlier arc always is"
                    hint = "give that one a 'when', or write 'spec: {mode: inclusive}' for both"
                    self._warning("ARC214", message, arc.position, hint, step.name)
                is_taken = is_taken or arc.when is None or arc.when is True

    def _endless(self) -> None:
        successors = self.graph.successors
        for component in components(successors, (1 << len(successors)) - 1):
            members = bits(component)
            steps = [self.playbook.steps[i] for i in members]
            loops = len(members) > 1 or successors[members[0]] & component
            leaves = any(successors[i] & ~component for i in members)
            if loops and not leaves and all(_always_fires(s.router) for s in steps):
                names = " -> ".join([s.name for s in steps] + [steps[0].name])
                message = f"the steps {names} form an endless loop: no arc leaves it"
                hint = "guard an arc with 'when', or add an arc that leaves"
                self._error("ARC210", message, steps[0].router.position, hint, steps[0].name)

    # -- collisions -------------------------------------------------------------------

    def _collisions(self) -> None:
        book = self.playbook
        steps = {s.name: s.position for s in book.steps}
        written = written_names(book)
        for name, place in steps.items():
            if name in WORDS:
                message = f"step name {name!r} is a keyword of templates"
                hint = f"choose another name, or read it as steps[{name!r}]"
                self._warning("ARC303", message, place, hint, name)
            elif name in RESERVED:
                message = f"step name {name!r} shadows a reserved name"
                self._warning("ARC303", message, place, "choose another name", name)
            elif name in book.workload:
                message = f"{name!r} is both a step and a workload key; templates see the step"
                self._warning("ARC305", message, place, "rename one of them", name)
        for name in sorted(OWN & book.workload.keys()):
            place = book.places.get(f"workload.{name}", book.position)
            message = f"the workload key {name!r} is shadowed by a name of the engine"
            if name == "keychain":
                self._error("ARC311", message, place, "choose another name")
            else:
                self._warning("ARC311", message, place, f"read it as 'workload.{name}'", "")
        for name, place in written.items():
            if name in steps:
                message = f"'set' writes {name!r}, which is also a step; templates see what is set"
                self._warning("ARC305", message, place, "rename one of them")

    # -- secrets ----------------------------------------------------------------------

    def _secrets(self) -> None:
        for what, place, step in secrets_outside_tasks(self.playbook):
            message = f"{what} reads 'keychain', which only tasks can read"
            hint = "read it in a task, and use the task's result"
            self._error("ARC307", message, place, hint, step)

    def _error(
        self, code: str, message: str, place: Position, hint: str = "", step: str = ""
    ) -> None:
        self.report.error(code, message, place, hint, step)

    def _warning(
        self, code: str, message: str, place: Position, hint: str = "", step: str = ""
    ) -> None:
        self.report.warning(code, message, place, hint, step)


_OF_FAILURES: Final = re.compile(r"\b(?:event|error|status)\b")


def _may_catch(arc: Arc) -> bool:
    """Return whether an arc may fire after a failure, unlike the others."""
    return isinstance(arc.when, str) and _OF_FAILURES.search(arc.when) is not None


def _always_fires(router: Router) -> bool:
    return any(arc.when is None or arc.when is True for arc in router.arcs)
