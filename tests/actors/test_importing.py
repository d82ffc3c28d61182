"""An export that comes back is what it was; what does not fit is refused by its line, and nothing is half."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import RuntimeConfig, SessionConfig
from sojourn.actors.archive import to_line
from sojourn.actors.exporting import Place, Wanted, export_items
from sojourn.actors.importing import ImportRefused, import_lines
from sojourn.storage import Journal, Reader, read_sensitive_keys
from sojourn.storage.archive import Selection

from .house import ADA, START, House
from .test_erasing import erase_user
from .test_forks import cut_history

Item = dict[str, Any]
CONFIG = RuntimeConfig(sensitive_keys=("pin",), session=SessionConfig(keep_alive=None))


def exported(path: Path, wanted: Wanted | None = None, place: Place | None = None) -> list[bytes]:
    """Lines, which know no other sensitive keys than the file does."""
    with Reader.open(str(path)) as reader:
        chosen = Wanted(secrets=True) if wanted is None else wanted
        chosen = chosen._replace(sensitive_keys=reader.look(read_sensitive_keys))
        return reader.look(
            lambda connection: [to_line(item) for item in export_items(connection, chosen, place)]
        )


def imported(lines: list[bytes], path: Path) -> None:
    with Journal.open(str(path)) as journal:
        import_lines(lines, journal)


def fill(house: House) -> None:
    """Sessions in every state, long ones and short ones, with all that a history may hold."""
    runtime = house.runtime
    plain = runtime.create(ADA, context={"pin": "hunter-2", "deep": {"pin": [1], "n": 1.0}}, request_key="r1")
    plain.send(
        '"quoted"\nlines \u2028 é \x00 😀', message_id="m1", data={"big": 2**64 - 1, "low": -(2**63)}
    ).result(5)
    plain.send("hi", author="ai").result(5)
    plain.update_context({"user.pin": 7, "user.lang": "de", "pin": None, "x": [1, 2.5, None]}).result(5)
    plain.remind("later", 60, {"a": 1}).result(5)
    closed = runtime.create({"user_id": "bob"}, channel="web", tags=["vip", "new"])
    closed.rate(5, "fine").result(5)
    closed.close("done").result(5)
    queued = runtime.create({"user_id": "cy"}, timeouts={"max_lifetime": 50_000.0})
    queued.hand_over("help", "please").result(5)
    held = runtime.create()
    held.hand_over("help").result(5)
    held.assign("rik").result(5)
    ended = runtime.create(ADA, timeouts={"session_timeout": 5.0})
    ended.send("short").result(5)
    house.advance(10)
    long = runtime.create(ADA, channel="long")
    for number in range(2500):
        long.send(f"message {number}", message_id=f"k{number}")
    long.send("the last").result(5)
    runtime.broadcast([ADA, {"user_id": "dot"}], "Hear", broadcast_id="news \x00 1").result(5)
    long.fork(7).result(5)
    house.settle()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "sojourn.db"
    with House(path, config=CONFIG) as house:
        fill(house)
    return path


@pytest.fixture(scope="module")
def lines(source: Path) -> list[bytes]:
    return exported(source)


def test_what_comes_back_is_what_went_out_byte_by_byte(lines: list[bytes], path: Path) -> None:
    imported(lines, path)
    assert exported(path) == lines


def test_without_secrets_three_stars_stay_three_stars(source: Path, path: Path) -> None:
    masked = exported(source, Wanted())
    assert b"hunter-2" not in b"".join(masked)
    assert b'"pin":"***"' in b"".join(masked)
    imported(masked, path)
    assert exported(path, Wanted()) == masked
    assert exported(path)[1:] == masked[1:]  # the header alone says whether there are secrets


def test_an_imported_file_is_served_as_if_it_had_never_been_away(
    source: Path, lines: list[bytes], path: Path
) -> None:
    imported(lines, path)
    original = shutil.copyfile(source, path.with_name("original.db"))
    with House(original, config=CONFIG, now=20) as first, House(path, config=CONFIG, now=20) as second:
        ids = [json.loads(line)["session_id"] for line in lines if line.startswith(b'{"kind":"session"')]
        for session_id in ids:
            one, other = (house.runtime.session(session_id) for house in (first, second))
            assert one.get().result(5) == other.get().result(5)
            assert one.recent(50).result(5) == other.recent(50).result(5)
        again = second.runtime.session(ids[0])
        assert again.context().result(5)["user.lang"] == "de"
        assert again.send("same", message_id="m1").result(5).duplicate is True
        assert second.runtime.create(ADA, request_key="r1").result(5).id == ids[0]
        for house in (first, second):
            house.advance(3600)
        ends = [
            [house.runtime.session(each).get().result(5)["expired_at"] for each in ids]
            for house in (first, second)
        ]
        assert ends[0] == ends[1]
        assert None not in ends[0]


def test_a_broadcast_reaches_nobody_again_after_an_import(lines: list[bytes], path: Path) -> None:
    imported(lines, path)
    everybody = [ADA, {"user_id": "dot"}, {"user_id": "eve"}]
    with House(path, config=CONFIG, now=20) as house:
        before = house.runtime.broadcast(everybody, "Hear", broadcast_id="news \x00 1").result(5)
        assert (before.created, before.delivered) == (2, 1)  # dot's of then and eve's of now; ada's of then
        house.settle()
    heard = [line for line in exported(path) if b'"text":"Hear"' in line]
    assert len(heard) == 3


def test_what_is_sensitive_stays_so_for_whoever_has_no_settings(lines: list[bytes], path: Path) -> None:
    assert json.loads(lines[0])["sensitive_keys"] == ["pin"]
    imported(lines, path)
    masked = b"".join(exported(path, Wanted()))
    assert b"hunter-2" not in masked
    with House(path, config=RuntimeConfig(sensitive_keys=("secret_\x00*",))):
        pass
    with Reader.open(str(path)) as reader:
        assert reader.look(read_sensitive_keys) == ("pin", "secret_\x00*")


def test_the_same_import_again_changes_nothing(lines: list[bytes], path: Path) -> None:
    imported(lines, path)
    with Journal.open(str(path)) as journal:
        again = import_lines(lines, journal)
    assert (again.sessions, again.events, again.users, again.known) == (0, 0, 0, 8)
    assert exported(path) == lines


def test_an_import_that_was_cut_off_is_run_again(lines: list[bytes], path: Path) -> None:
    for cut in range(2, len(lines), 701):
        with pytest.raises(ImportRefused) as refused:
            imported(lines[:cut], path)
        assert refused.value.line in {cut + 1, cut}
        whole = [json.loads(line)["session"]["seq"] for line in exported(path) if b'"kind":"session"' in line]
        assert sum(whole) == len([line for line in exported(path) if b'"kind":"event"' in line])
    imported(lines, path)
    assert exported(path) == lines


def test_it_goes_into_a_file_that_has_sessions_of_its_own(lines: list[bytes], path: Path) -> None:
    with House(path, config=CONFIG) as house:
        own = house.runtime.create({"user_id": "own"}).result(5).id
    imported(lines, path)
    found = exported(path)
    assert found[1:-1] == [*lines[1:2], *[line for line in found if own.encode() in line], *lines[2:-1]]


def test_what_was_retained_alone_comes_back_with_its_state(
    source: Path, lines: list[bytes], path: Path
) -> None:
    imported(lines, path)
    long = next(json.loads(line) for line in reversed(lines) if b'"channel":"long"' in line)
    cut_history(path, long["session_id"], 1200)
    bob = next(json.loads(line) for line in lines if b'"user_id":"bob"' in line)
    cut_history(path, bob["session_id"], 3)  # nothing is left of it but its state
    less = exported(path)
    assert len(less) < len(lines)
    other = path.with_name("other.db")
    imported(less, other)
    assert exported(other) == less
    with House(other, config=CONFIG, now=20) as house:
        view = house.runtime.session(bob["session_id"]).get().result(5)
        assert (view["status"], view["tags"]) == ("closed", ["vip", "new"])
    masked = exported(path, Wanted())
    third = path.with_name("third.db")
    imported(masked, third)
    assert b"hunter-2" not in third.read_bytes()
    assert exported(third, Wanted()) == masked


# -- what was erased ---------------------------------------------------------------------------------


def test_who_was_erased_does_not_come_back_unless_wanted(lines: list[bytes], path: Path) -> None:
    imported(lines, path)
    bob = next(json.loads(line)["session_id"] for line in lines if b'"user_id":"bob"' in line)
    with House(path, config=CONFIG, now=20) as house:
        erase_user(house, "ada")
        house.runtime.session(bob).erase().result(5)
        house.settle()
        later = house.runtime.create(ADA).result(5).id
        house.settle()
    with Journal.open(str(path)) as journal:
        again = import_lines(lines, journal)
    assert (again.sessions, again.users, again.known) == (0, 0, 4 - 1)
    assert again.erased == 1 + 4 + 1  # ada's context and sessions, and one of bob's
    left = sessions_of(exported(path))
    assert {each["user"].get("user_id") for each in left} == {"ada", "cy", "dot", None}
    assert [each["session_id"] for each in left if each["user"] == ADA] == [later]

    with Journal.open(str(path)) as journal:
        back = import_lines(lines, journal, restore_erased=True)
        assert journal.connection.execute("SELECT count(*) FROM erasures").fetchone() == (0,)
    assert (back.sessions, back.users, back.known, back.erased) == (5, 1, 3, 0)
    assert len(sessions_of(exported(path))) == 9


def test_who_came_back_after_an_erasure_is_welcome(path: Path) -> None:
    other = path.with_name("other.db")
    with House(path) as house:
        house.runtime.create(ADA).result(5)
        erase_user(house, "ada")
    for now in (-1.0, 0.0, 1.0):
        with House(other, now=now) as house:
            house.runtime.create(ADA).send("I am back").result(5)
    with Journal.open(str(path)) as journal:
        taken = import_lines(exported(other), journal)
    assert (taken.sessions, taken.erased) == (1, 2)
    (session,) = sessions_of(exported(path))
    assert session["created_at"] == START + 1


# -- selections --------------------------------------------------------------------------------------


def sessions_of(lines: list[bytes]) -> list[Item]:
    return [item["session"] for item in map(json.loads, lines) if item["kind"] == "session"]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(Selection(user_id="bob")), 1),
        (Wanted(Selection(channel="long")), 2),
        (Wanted(Selection(status="expired")), 1),
        (Wanted(Selection(status="closed", channel="web")), 1),
        (Wanted(tag="vip"), 1),
        (Wanted(tag="gone"), 0),
        (Wanted(Selection(since=START + 10)), 3),
        (Wanted(Selection(until=START + 10)), 5),
        (Wanted(Selection(session_ids=("nobody",))), 0),
        (Wanted(Selection(user_id="' OR 1=1 --")), 0),
    ],
)
def test_a_selection_holds_what_it_says(source: Path, wanted: Wanted, count: int) -> None:
    found = exported(source, wanted)
    assert len(sessions_of(found)) == count
    assert json.loads(found[-1])["sessions"] == count


def test_the_context_of_a_user_goes_with_that_user_alone(source: Path) -> None:
    def users(wanted: Wanted) -> int:
        return sum(b'"kind":"user"' in line for line in exported(source, wanted))

    assert users(Wanted()) == users(Wanted(Selection(user_id="ada"))) == 1
    assert users(Wanted(Selection(user_id="bob"))) == users(Wanted(Selection(channel="long"))) == 0


def test_a_selection_comes_back_as_well(source: Path, path: Path) -> None:
    some = exported(source, Wanted(Selection(user_id="ada"), secrets=True))
    imported(some, path)
    assert exported(path, Wanted(Selection(user_id="ada"), secrets=True)) == some


# -- what does not fit -------------------------------------------------------------------------------


def small() -> Iterator[Item]:
    """The items of a small export: a header, a session with three events, the end."""
    with House() as house:
        session = house.runtime.create(ADA)
        session.send("one").result(5)
        session.send("two").result(5)
        row = house.runtime.run(
            house.runtime.core.reads.get(
                lambda reader: reader.look(
                    lambda connection: list(export_items(connection, Wanted(secrets=True)))
                )
            )
        )
    yield from row


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return list(small())


HEADER, SESSION, FIRST, SECOND, THIRD, END = range(6)


MISFITS: list[tuple[int, Callable[[Item], object], int, str]] = [
    (HEADER, lambda item: item.update(format="other"), 1, "no export of Sojourn"),
    (HEADER, lambda item: item.update(kind="session"), 1, "no export of Sojourn"),
    (HEADER, lambda item: item.update(version=2), 1, "of a later Sojourn"),
    (HEADER, lambda item: item.update(version="1"), 1, "no version"),
    (HEADER, lambda item: item.update(sensitive_keys="pin"), 1, "no list of texts"),
    (HEADER, lambda item: item.update(sensitive_keys=[1]), 1, "no list of texts"),
    (SESSION, lambda item: item.update(broadcasts=["b"]), 2, "broadcasts is not a map"),
    (SESSION, lambda item: item.update(broadcasts={"b": "lost"}), 2, "broadcasts of 'b' is 'lost'"),
    (SESSION, lambda item: item.update(broadcasts={"b": ["created"]}), 2, "broadcasts of 'b' is"),
    (SESSION, lambda item: item.update(broadcasts={"": "created"}), 2, "broadcasts of ''"),
    (SESSION, lambda item: item.update(kind="sessions"), 2, "neither a user, nor a session"),
    (SESSION, lambda item: item.update(session_id=""), 2, "session_id is empty"),
    (SESSION, lambda item: item.update(session_id=7), 2, "session_id is missing"),
    (SESSION, lambda item: item.pop("session"), 2, "session is missing"),
    (SESSION, lambda item: item["session"].update(seq=2), 5, "up to 2, and here is another"),
    (SESSION, lambda item: item["session"].update(seq=4), 6, "4 is missing"),
    (
        SESSION,
        lambda item: item["session"].update(status="expired"),
        2,
        r"make what its line says \(status\)",
    ),
    (SESSION, lambda item: item["session"].update(mine=1), 2, r"make what its line says \(mine\)"),
    (SESSION, lambda item: item.update(resume_hash="xyz"), 2, "no hexadecimal"),
    (SESSION, lambda item: item.update(resume_hash="00"), 2, "1 bytes, not 32"),
    (SESSION, lambda item: item.update(resume_hash=5), 2, "no hexadecimal"),
    (SESSION, lambda item: item.update(request_key=5), 2, "request_key is neither"),
    (SESSION, lambda item: item.update(first_seq=0), 2, "first_seq"),
    (SESSION, lambda item: item.update(first_seq=2), 3, "seq is 1 where 2 comes next"),
    (FIRST, lambda item: item.update(seq=2), 3, "seq is 2 where 1 comes next"),
    (FIRST, lambda item: item.update(type="message:received"), 3, "a message without"),
    (FIRST, lambda item: item["payload"].pop("timeouts"), 2, "its events make no session"),
    (FIRST, lambda item: item["payload"].update(timeouts=5), 2, "its events make no session"),
    (SECOND, lambda item: item.update(seq=3), 4, "missing or doubled"),
    (SECOND, lambda item: item.update(seq=-2), 4, "missing or doubled"),
    (SECOND, lambda item: item.update(seq=True), 4, "seq is missing or not"),
    (SECOND, lambda item: item.update(session_id="other"), 4, "an event of session 'other'"),
    (SECOND, lambda item: item.update(at=0.0), 4, "before the event that it follows"),
    (SECOND, lambda item: item.update(at="now"), 4, "no number of seconds"),
    (SECOND, lambda item: item.update(type="session:invented"), 4, "no event of the type"),
    (SECOND, lambda item: item.update(flags=-1), 4, "flags is -1"),
    (SECOND, lambda item: item.update(flags=None), 4, "flags is missing"),
    (SECOND, lambda item: item.update(payload=[]), 4, "payload is missing or not a map"),
    (SECOND, lambda item: item["payload"].pop("text"), 4, "a message without text"),
    (SECOND, lambda item: item["payload"].update(author="robot"), 4, "a message has an author"),
    (SECOND, lambda item: item["payload"].update(data=2**64), 4, "cannot be kept"),
    (SECOND, lambda item: item["payload"].update(text="\ud800"), 4, "cannot be kept"),
    (SECOND, lambda item: item["payload"].update(dict.fromkeys("abcdefghijklm", 1)), 4, "18 keys"),
    (THIRD, lambda item: item.update(kind="end"), 5, "3 is missing"),
    (END, lambda item: item.update(events=4), 6, "counts others"),
    (END, lambda item: item.update(kind="header"), 6, "neither a user"),
    (
        END,
        lambda item: item.update(kind="user", user_id="x", version=0, context={}),
        6,
        "version is 1 or more",
    ),
]
"""Where, what is wrong there, and what is said: the line and the reason."""


@pytest.mark.parametrize(("place", "change", "line", "reason"), MISFITS)
def test_a_line_that_does_not_fit_is_named(
    items: list[Item], path: Path, place: int, change: Callable[[Item], object], line: int, reason: str
) -> None:
    wrong = json.loads(json.dumps(items))
    change(wrong[place])
    lines = [json.dumps(item).encode() + b"\n" for item in wrong]
    with pytest.raises(ImportRefused, match=f"^line {line}: .*{reason}"):
        imported(lines, path)
    left = exported(path)
    # The session is there as a whole, where only what is behind it was wrong; else nothing of it is.
    assert len(left) == (6 if place == END else 2)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"no json\n", "no JSON"),
        (b"[1]\n", "no JSON object"),
        (b'{"kind":"event","at":NaN}\n', "NaN is no number"),
        (b"\xff\xfe\n", "no JSON"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b"\n", "no JSON"),
        (b'{"kind":"event"', "cut off"),
    ],
)
def test_a_line_that_is_none_is_named(items: list[Item], path: Path, line: bytes, reason: str) -> None:
    lines = [to_line(item) for item in items]
    with pytest.raises(ImportRefused, match=f"^line 4: .*{reason}"):
        imported([*lines[:3], line, *lines[4:]], path)
    assert sessions_of(exported(path)) == []


def test_a_session_twice_in_a_file_is_refused(items: list[Item], path: Path) -> None:
    lines = [to_line(item) for item in items]
    with pytest.raises(ImportRefused, match=r"^line 6: .*twice"):
        imported([*lines[:5], *lines[1:]], path)
    assert len(sessions_of(exported(path))) == 1


def test_a_session_that_is_there_and_another_is_refused_and_stays(items: list[Item], path: Path) -> None:
    lines = [to_line(item) for item in items]
    imported(lines, path)
    with House(path) as house:
        house.runtime.session(items[1]["session_id"]).send("more").result(5)
    before = exported(path)
    with pytest.raises(ImportRefused, match=r"^line 2: .*there already, and it is not the same"):
        imported(lines, path)
    assert exported(path) == before


def test_a_request_key_that_another_session_has_is_refused(items: list[Item], path: Path) -> None:
    with House(path) as house:
        house.runtime.create(request_key="taken").result(5)
    items = json.loads(json.dumps(items))
    items[SESSION]["request_key"] = "taken"
    with pytest.raises(ImportRefused, match=r"^line 2: .*request_key 'taken'"):
        imported([to_line(item) for item in items], path)
    assert len(sessions_of(exported(path))) == 1


def test_a_broadcast_that_reached_a_user_elsewhere_is_refused(items: list[Item], path: Path) -> None:
    with House(path) as house:
        house.runtime.broadcast([ADA], "Hear", broadcast_id="news").result(5)
    items = json.loads(json.dumps(items))
    items[SESSION]["broadcasts"] = {"news": "delivered"}
    with pytest.raises(ImportRefused, match=r"^line 2: broadcast 'news' reached user 'ada'"):
        imported([to_line(item) for item in items], path)
    assert len(sessions_of(exported(path))) == 1


def test_a_user_s_context_that_is_another_is_refused(lines: list[bytes], path: Path) -> None:
    with House(path) as house:
        house.runtime.create(ADA).update_context({"user.lang": "fr"}).result(5)
    with pytest.raises(ImportRefused, match=r"^line 2: .*context of user 'ada'"):
        imported(lines, path)


def test_something_behind_the_end_is_refused(items: list[Item], path: Path) -> None:
    lines = [to_line(item) for item in items]
    with pytest.raises(ImportRefused, match=r"^line 7: .*behind the end"):
        imported([*lines, lines[1]], path)


# -- from a place on ---------------------------------------------------------------------------------


def place_behind(lines: list[bytes]) -> Place:
    """How far these lines have come."""
    found = Place()
    for item in map(json.loads, lines):
        if item["kind"] == "user":
            found = found._replace(user_id=item["user_id"])
        elif item["kind"] == "session":
            found = Place(
                None, item["session_id"], 0, item["session"]["seq"], found.sessions + 1, found.events
            )
        elif item["kind"] == "event":
            found = found._replace(seq=item["seq"], events=found.events + 1)
    return found


def test_from_any_place_on_the_rest_is_the_same(source: Path, lines: list[bytes]) -> None:
    for cut in (*range(1, 9), *range(9, 60, 7), *range(60, len(lines) - 1, 997), len(lines) - 1):
        assert exported(source, place=place_behind(lines[:cut])) == lines[cut:]
