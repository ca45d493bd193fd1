"""Sealing keys: several at once, replaced, served by others; and answers for one worker."""

from __future__ import annotations

import asyncio
import base64
import stat

import msgspec
import pytest

from arcbook.blobs.memory import MemoryBlobs
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.clock import SystemClock
from arcbook.secrets.api import CredentialError
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.delivery import AnswerKey, deliver
from arcbook.secrets.envelope import LocalKey, SealError, key_of_record, rewrap, seal, unseal
from arcbook.secrets.keys import FileKeys, Keyring, NoKeys, keys_of, new_key
from arcbook.secrets.sessions import Root, WorkerToken
from arcbook.secrets.wallet import Wallet
from arcbook.server.core import Server
from arcbook.server.guard import GuardedBus
from arcbook.settings import SettingsError, load_settings
from arcbook.store.memory import MemoryStore
from arcbook.store.secret_audit import SecretNotes
from arcbook.tools.registry import Registry
from arcbook.worker.control import Control
from arcbook.worker.sealed import SealedBus

OLD, NEW = (LocalKey(bytes([n]) * 32, "the test") for n in (1, 2))
SECRET = "s3cret-in-the-wallet"
TOKEN = "the token of the bus"


def book(keys, store=None):
    return CredentialBook(store or MemoryStore(), keys, SystemClock(), requester="me")


def test_a_record_says_what_sealed_it():
    record = msgspec.json.decode(seal("a", {"token": SECRET}, OLD))

    assert (record["v"], record["alg"]) == (1, "AES-256-GCM")
    assert record["dek"]["provider"] == "local"
    assert record["dek"]["key_id"] == OLD.key_id == key_of_record(msgspec.json.encode(record))


def test_two_records_of_the_same_share_nothing():
    one, two = (msgspec.json.decode(seal("a", {"token": SECRET}, OLD)) for _ in range(2))

    assert one["ct"] != two["ct"]
    assert one["dek"]["ct"] != two["dek"]["ct"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "unknown format AES-256-GCM version 2"),
        ({"alg": "ROT13"}, "unknown format ROT13"),
        ({"ct": base64.b64encode(b"x" * 40).decode()}, "was changed"),
        ({"dek": {"provider": "vault", "key_id": "x", "ct": ""}}, "provider 'vault'"),
        ({"dek": {"provider": "local", "key_id": NEW.key_id, "ct": ""}}, "use the key that sealed"),
    ],
)
def test_what_does_not_open_says_why(change, reason):
    sealed = msgspec.json.decode(seal("a", {"token": SECRET}, OLD)) | change

    with pytest.raises(SealError, match=reason):
        unseal("a", msgspec.json.encode(sealed), OLD)


def test_a_record_is_of_no_use_under_another_name():
    with pytest.raises(SealError, match="was changed"):
        unseal("b", seal("a", {"token": SECRET}, OLD), OLD)


def test_sealing_again_leaves_the_text_as_it_is():
    sealed = seal("a", {"token": SECRET}, OLD)
    fresh = rewrap(sealed, Keyring([NEW, OLD]))

    assert msgspec.json.decode(fresh)["ct"] == msgspec.json.decode(sealed)["ct"]
    assert unseal("a", fresh, NEW) == {"token": SECRET}
    with pytest.raises(SealError):
        unseal("a", fresh, OLD)


async def test_a_rotation_leaves_every_record_readable_by_the_new_key_alone():
    store = MemoryStore()
    for n in range(20):
        await book(OLD, store).add(f"c{n}", "bearer", {"token": f"{SECRET}{n}"})
    wallet = Wallet(store, Keyring([NEW, OLD]))
    before, turned, again = await wallet.status(), await wallet.rotate(), await wallet.rotate()
    after = await wallet.status()

    assert before.records == {OLD.key_id: 20}
    assert (turned.rewrapped, turned.failed) == (20, {})
    assert (again.rewrapped, again.skipped) == (0, 20)
    assert (after.key_id, after.records, after.unreadable) == (NEW.key_id, {NEW.key_id: 20}, {})
    assert (await book(NEW, store).credential("c7", 0)).data == {"token": f"{SECRET}7"}


async def test_what_a_rotation_cannot_open_stays_and_is_told():
    store = MemoryStore()
    await book(OLD, store).add("lost", "bearer", {"token": SECRET})
    sealed = store.sealed["lost"].sealed
    turned = await Wallet(store, NEW).rotate()

    assert "use the key that sealed it" in turned.failed["lost"]
    assert store.sealed["lost"].sealed == sealed


async def test_a_record_that_changes_meanwhile_is_not_overwritten():
    store = MemoryStore()
    await book(OLD, store).add("a", "bearer", {"token": SECRET})
    stale = await store.credentials()
    await book(OLD, store).add("a", "bearer", {"token": "another-token"})

    class Stale(MemoryStore):
        async def credentials(self):
            return stale

        replace_sealed = store.replace_sealed

    turned = await Wallet(Stale(), Keyring([NEW, OLD])).rotate()

    assert (turned.rewrapped, turned.changed) == (0, 1)
    assert (await book(OLD, store).credential("a", 0)).data == {"token": "another-token"}


async def test_a_rotation_that_was_interrupted_is_finished_by_the_next_one(tmp_path):
    path = tmp_path / "key"
    keys = FileKeys(path, make=True)
    store = MemoryStore()
    for n in range(10):
        await book(keys, store).add(f"c{n}", "bearer", {"token": f"{SECRET}{n}"})
    first = keys.ring().keys[0].key_id

    class Dies(MemoryStore):
        credentials = store.credentials
        left = 4

        async def replace_sealed(self, name, before, after):
            if not self.left:
                raise OSError("the power went")
            self.left -= 1
            return await store.replace_sealed(name, before, after)

    keys.turn()
    with pytest.raises(OSError, match="power"):
        await Wallet(Dies(), keys).rotate()
    half = await Wallet(store, FileKeys(path, make=False)).status()
    readable = [(await book(keys, store).credential(f"c{n}", 0)).data for n in range(10)]
    again = FileKeys(path, make=False)
    turned = await Wallet(store, again).rotate()
    whole = await Wallet(store, again).status()
    forgotten = again.keep(set(whole.records))

    assert (half.records[first], half.unreadable) == (6, {})
    assert readable == [{"token": f"{SECRET}{n}"} for n in range(10)]
    assert (turned.rewrapped, turned.skipped, turned.failed) == (6, 4, {})
    assert (whole.records, forgotten) == ({turned.key_id: 10}, 1)
    assert (await book(again, store).credential("c9", 0)).data == {"token": f"{SECRET}9"}


# -- where keys come from ------------------------------------------------------------------


def test_a_file_is_made_for_its_owner_and_turned_with_older_keys_kept(tmp_path):
    path = tmp_path / "deep" / "key"
    keys = FileKeys(path, make=True)
    beside = FileKeys(path, make=False)
    sealed = seal("a", SECRET, keys)
    keys.turn()
    fresh = seal("a", SECRET, beside)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert unseal("a", sealed, beside) == unseal("a", fresh, keys) == SECRET
    assert key_of_record(fresh) == keys.ring().keys[0].key_id != key_of_record(sealed)
    assert keys.keep({key_of_record(fresh)}) == 1
    with pytest.raises(SealError, match="use the key that sealed it"):
        unseal("a", sealed, beside)


def test_a_file_that_others_can_read_is_refused(tmp_path):
    FileKeys(tmp_path / "key", make=True)
    (tmp_path / "key").chmod(0o640)

    with pytest.raises(SealError, match="can be read by others"):
        FileKeys(tmp_path / "key", make=True)


@pytest.mark.parametrize("text", ["", "nonsense", base64.b64encode(b"short").decode(), "é"])
def test_a_file_without_a_key_is_refused(tmp_path, text):
    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)

    with pytest.raises(SealError):
        FileKeys(tmp_path / "key", make=True)


async def test_without_a_key_nothing_is_sealed_and_nothing_opens(tmp_path):
    store = MemoryStore()
    await book(OLD, store).add("a", "bearer", {"token": SECRET})
    keys = keys_of(load_settings({}, home=tmp_path), make=False)

    assert isinstance(keys, NoKeys)
    assert not (tmp_path / "key").exists()
    with pytest.raises(SealError, match="there is no key: set ARCBOOK_ENCRYPTION_KEY"):
        await book(keys, store).add("b", "bearer", {"token": SECRET})
    with pytest.raises(CredentialError, match="credential 'a' cannot be opened: there is no key"):
        await book(keys, store).credential("a", 0)


def test_the_environment_brings_a_key_and_those_before_it(tmp_path):
    old, new = new_key(), new_key()
    before = keys_of(load_settings({"ARCBOOK_ENCRYPTION_KEY": old}, home=tmp_path), make=False)
    sealed = seal("a", SECRET, before)
    after = keys_of(
        load_settings(
            {"ARCBOOK_ENCRYPTION_KEY": new, "ARCBOOK_ENCRYPTION_KEYS_OLD": old}, home=tmp_path
        ),
        make=False,
    )

    assert unseal("a", rewrap(sealed, after), after) == SECRET


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"key_provider": "frob"}, "it may be local, aws"),
        ({"key_provider": "vault"}, "name the key"),
    ],
)
def test_a_provider_that_cannot_be_is_refused(tmp_path, given, reason):
    with pytest.raises(SettingsError, match=reason):
        keys_of(load_settings({}, home=tmp_path, **given), make=True)


# -- delivery ------------------------------------------------------------------------------


def test_an_answer_opens_for_its_asker_and_as_its_answer_only():
    mine, other = AnswerKey(), AnswerKey()
    sealed = deliver(SECRET.encode(), mine.public, "1|api")

    assert mine.open(sealed, "1|api") == SECRET.encode()
    assert SECRET.encode() not in msgspec.json.encode(sealed)
    for box, bound in ((other, "1|api"), (mine, "2|api")):
        with pytest.raises(SealError, match="not for this worker"):
            box.open(sealed, bound)
    with pytest.raises(SealError, match="which is unknown"):
        mine.open(msgspec.structs.replace(sealed, v=2), "1|api")


@pytest.mark.parametrize("public", [b"", b"short", bytes(32)])
def test_a_key_that_is_none_gets_no_answer(public):
    with pytest.raises(SealError):
        deliver(b"text", public, "")


async def test_who_performs_nothing_gets_no_credential_and_the_audit_says_so():
    store, exchange = MemoryStore(), Exchange()
    credentials = book(OLD, store)
    await credentials.add("api", "bearer", {"token": SECRET})
    async with MemoryBus(exchange) as bus, MemoryBus(exchange) as far:
        guarded = GuardedBus(bus, Root(TOKEN), store, SystemClock())
        server = Server(store, guarded, MemoryBlobs(), Registry(), credentials, SystemClock())
        sealed = SealedBus(far, lambda: WorkerToken(TOKEN), "w1", ["shared"])
        async with server:
            for alias in ("api", "none"):
                with pytest.raises(CredentialError, match="holds no command of execution 7"):
                    await Control(sealed, "w1").credential(alias, 7)
    notes = await store.secret_notes(SecretNotes())

    assert [(n.who, n.action, n.alias, n.execution_id, n.outcome) for n in notes] == [
        ("w1", "resolve", "none", 7, "refused"),
        ("w1", "resolve", "api", 7, "refused"),
        ("me", "put", "api", 0, "ok"),
    ]


async def test_without_the_note_there_is_no_credential():
    store = MemoryStore()
    await book(OLD, store).add("api", "bearer", {"token": SECRET})

    async def full(_):
        raise OSError("no room")

    store.note_secret = full
    with pytest.raises(OSError, match="no room"):
        await book(OLD, store).credential("api", 1)


async def test_a_hundred_at_once_are_a_hundred_notes():
    store = MemoryStore()
    keeper = book(OLD, store)
    await keeper.add("api", "bearer", {"token": SECRET})
    await asyncio.gather(*(keeper.credential("api", n) for n in range(100)))

    assert len(await store.secret_notes(SecretNotes(alias="api", limit=1000))) == 101
