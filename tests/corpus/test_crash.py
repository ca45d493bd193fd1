"""A process may die after any event: the next one ends the execution in the same way."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest

from arcbook.dsl.load import load_playbook
from corpus.crash import Recorder, World
from corpus.documents import Document, load_corpus
from corpus.runner import Credentials, _post
from corpus.settings import facts_of, load_settings
from corpus.test_corpus import FOLDER, IS_THERE
from corpus.traces import leaves
from standin.answers import FILES
from standin.server import StandInProcess

PREFIXES_MAX = int(os.environ.get("CRASH_PREFIXES", "40"))
"""Places at which one document is stopped; of more events, these are spread evenly."""

DOCUMENTS_MIN = 30

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not IS_THERE, reason="the corpus is not beside the project"),
]

SETTINGS = load_settings()


def is_eligible(document: Document) -> bool:
    """Whether a document ends by itself and what it changes outside can be made as it was."""
    return (
        document.is_playbook
        and document.expected.expected_outcome == "COMPLETED"
        and not SETTINGS.obstacle(document)
        and not facts_of(document)
        and not SETTINGS.varies(document)
    )


DOCUMENTS = [d for d in load_corpus(FOLDER) if is_eligible(d)] if IS_THERE else []


@pytest.fixture(scope="module")
def address():
    with StandInProcess(SETTINGS.pace) as stand_in:
        yield stand_in.url


@pytest.fixture(scope="module")
def facts(address):
    return {"address": address}


def test_there_are_documents_enough():
    assert len(DOCUMENTS) >= DOCUMENTS_MIN


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_a_document_survives_the_end_of_its_process_after_every_event(
    document, address, facts, tmp_path
):
    asyncio.run(_Trial(document, address, facts, tmp_path).run())


class _Trial:
    """One document, stopped everywhere."""

    def __init__(self, document, address, facts, folder):
        self.document = document
        self.address = address
        self.folder = folder
        self.registry = Recorder()
        self.credentials = Credentials(SETTINGS)
        self.credentials.facts = facts
        self.payload = SETTINGS.payload(document, facts, full=False, real_time=False)

    async def run(self):
        self._lay_out()
        self.catalog = await self._register()
        try:
            expected, stable, events = await self._undisturbed()
            for stop in _spread(events):
                await self._stopped(stop, expected, stable)
        finally:
            await self.registry.really_close()

    def _lay_out(self):
        root = self.folder / "corpus"
        shutil.copytree(FOLDER, root)
        for name, source in SETTINGS.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                shutil.copyfile(FILES / source, path)

    async def _register(self):
        """Register this document, and those that it may call."""
        world = World(self.registry, self.credentials, self.folder)
        calls = "playbook" in self.document.expected.tool_kinds
        async with world.process() as runtime:
            for other in load_corpus(FOLDER) if calls else [self.document]:
                text = SETTINGS.rewritten(other.text, self.address)
                loaded = load_playbook(text, self.registry)
                if loaded.playbook is not None:
                    folder = str((self.folder / "corpus" / other.name).parent)
                    path = other.expected.catalog_path
                    await runtime.plans.register(text, loaded, folder=folder, path=path)
        return world.store.catalog

    async def _world(self, events_max=None):
        """Return a fresh world that knows the document, and the document ready to run."""
        await asyncio.to_thread(_post, f"{self.address}/standin/reset")
        world = World(self.registry, self.credentials, self.folder, events_max)
        world.store.catalog = self.catalog
        async with world.process() as runtime:
            planned = await runtime.plans.find(self.document.expected.catalog_path)
        return world, planned

    async def _undisturbed(self):
        """Return the results of a run, which of them never vary, and its number of events."""
        runs = []
        for _ in range(2):
            world, planned = await self._world()
            execution_id = await world.run(planned, self.payload)
            state = await world.state(execution_id)
            assert str(state.status) == "COMPLETED", state.error
            runs.append(leaves(await world.results(execution_id)))
            events = world.store.written
        return runs[0], {key for key, value in runs[0].items() if runs[1].get(key) == value}, events

    async def _stopped(self, stop, expected, stable):
        world, planned = await self._world(stop)
        execution_id = await world.run(planned, self.payload)
        if not world.store.log.get(execution_id):
            return
        recorded = world.recorded()
        before = len(self.registry.keys)
        await world.resume(execution_id)
        again = (
            [k for k in self.registry.keys[before:] if k.startswith(tuple(recorded))]
            if recorded
            else []
        )
        state = await world.state(execution_id)
        results = leaves(await world.results(execution_id))

        assert str(state.status) == "COMPLETED", f"stopped after event {stop}: {state.error}"
        assert not again, f"stopped after event {stop}: done again: {again}"
        changed = {
            k: (expected[k], results.get(k)) for k in stable if results.get(k) != expected[k]
        }
        assert not changed, f"stopped after event {stop}: {changed}"


def _spread(count):
    """Return the numbers of the events after which to stop."""
    if count <= PREFIXES_MAX:
        return list(range(1, count))
    return sorted({round(1 + i * (count - 2) / (PREFIXES_MAX - 1)) for i in range(PREFIXES_MAX)})
