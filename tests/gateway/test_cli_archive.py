"""`sojourn export` and `sojourn import`: files that are whole or not there, resumed where they were cut."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sojourn.actors import Runtime, RuntimeConfig
from sojourn.gateway.cli import app
from sojourn.gateway.export_tables import COLUMNS
from tests.integration.server_process import ServerProcess

ADA = {"user_id": "ada"}
HEADER = b'{"kind":"header","format":"sojourn","version":1,"secrets":false}\n'


def sojourn(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], input=stdin)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOJOURN_SENSITIVE_KEYS", raising=False)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty sessions with texts that no format takes lightly, one of them long."""
    path = tmp_path_factory.mktemp("export") / "sojourn.db"
    with Runtime(str(path)) as runtime:
        for number in range(20):
            user = ADA if number % 2 else {}
            session = runtime.create(user, channel="web", context={"pin": 1, "number": number})
            for place in range(number % 4):
                session.send(f'=1+1, "quoted"\n{place};\ttab é 😀\r\n', message_id=f"m{place}")
            if number == 7:
                for place in range(2300):
                    session.send(f"long {place}")
            session.close("done").result(20)
    return path


def test_an_export_that_comes_back_is_the_same_file(db: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert sojourn("export", first, "--db", db, "--with-secrets").exit_code == 0
    result = sojourn("import", first, "--into", tmp_path / "new.db")
    assert result.exit_code == 0, result.output
    assert "20 sessions with" in result.output
    assert sojourn("export", second, "--db", tmp_path / "new.db", "--with-secrets").exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    again = sojourn("import", first, "--into", tmp_path / "new.db")
    assert "20 were there already" in again.output


def test_secrets_are_hidden_unless_asked_for(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOJOURN_SENSITIVE_KEYS", "pin")
    shown = [sojourn("export", "-", "--db", db, *options).stdout for options in ((), ("--with-secrets",))]
    assert ['"pin":1' in each for each in shown] == [False, True]
    assert ['"pin":"***"' in each for each in shown] == [True, False]


def test_secrets_stay_hidden_from_whoever_has_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "kept.db"
    with Runtime(str(path), config=RuntimeConfig(sensitive_keys=("pin",))) as runtime:
        runtime.create(ADA, context={"pin": "hunter-2"}).result(20)
    shown = [
        sojourn("export", "-", "--db", path).stdout,
        sojourn("sessions", "--json", "--db", path).stdout,
    ]
    assert all("hunter-2" not in each and "***" in each for each in shown)
    assert "hunter-2" in sojourn("export", "-", "--db", path, "--with-secrets").stdout


def test_it_goes_from_standard_output_to_standard_input(db: Path, tmp_path: Path) -> None:
    out = sojourn("export", "-", "--db", db, "--user", "ada")
    result = sojourn("import", "-", "--into", tmp_path / "new.db", stdin=out.stdout_bytes)
    assert result.exit_code == 0, result.output
    assert "10 sessions with" in result.output


@pytest.mark.parametrize("name", ["part.jsonl", "part.csv"])
def test_an_export_that_was_cut_off_goes_on_as_if_it_had_not_been(
    db: Path, tmp_path: Path, name: str
) -> None:
    file, part = tmp_path / name, tmp_path / f"{name}.part"
    assert sojourn("export", file, "--db", db).exit_code == 0
    whole = file.read_bytes()
    asked = tmp_path / f"{name}.part.asked"
    assert not asked.exists()
    cuts = [0, 1, 63, 64, 65, 100, 1000, 2500, *range(5000, len(whole), 150_011), len(whole) - 1]
    for cut in cuts:
        file.unlink()
        part.write_bytes(whole[:cut])
        if name.endswith(".csv"):
            asked.write_bytes(HEADER)
        result = sojourn("export", file, "--db", db, "--resume")
        assert result.exit_code == 0, (cut, result.output)
        assert not asked.exists()
        assert file.read_bytes() == whole, cut
        assert not part.exists()


def test_nothing_has_the_name_of_a_file_before_it_is_whole(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("what was there before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", _full)
        result = sojourn("export", file, "--db", db)
    assert result.exit_code == 1
    assert "no space left" in result.output
    assert file.read_text() == "what was there before"
    assert sojourn("export", file, "--db", db).exit_code == 0
    assert file.read_text().startswith('{"kind":"header"')


def _full(_descriptor: int) -> None:
    raise OSError(28, "no space left")


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (b'{"kind":"header","format":"other"}\n', (), "other filters"),
        (b'{"kind":"header","format":"sojourn","version":1,"secrets":true}\n', (), "other secrets"),
        (
            b'{"kind":"header","format":"sojourn","version":1,"secrets":false}\n',
            ("--user", "ada"),
            "other filters",
        ),
        (b"hello\nworld\n", (), "something else"),
        (
            HEADER + b'{"kind":"session","session_id":"gone","session":{"seq":5}}\n',
            (),
            "gone",
        ),
        (
            HEADER + b'{"kind":"end","sessions":0,"events":0}\n',
            (),
            "whole",
        ),
    ],
)
def test_what_is_no_beginning_of_this_export_is_not_gone_on_with(
    db: Path, tmp_path: Path, content: bytes, options: tuple[str, ...], reason: str
) -> None:
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(content)
    result = sojourn("export", tmp_path / "out.jsonl", "--db", db, "--resume", *options)
    assert result.exit_code == 1
    assert reason in result.output
    assert part.read_bytes() == content


@pytest.mark.parametrize(
    ("asked", "options", "reason"),
    [
        (None, (), "nothing says which filters"),
        (HEADER, ("--user", "ada"), "other filters"),
        (HEADER, ("--with-secrets",), "other secrets"),
        (HEADER[:-9], (), "something else"),
    ],
)
def test_a_table_goes_on_with_what_it_began_with_and_nothing_else(
    db: Path, tmp_path: Path, asked: bytes | None, options: tuple[str, ...], reason: str
) -> None:
    file, part = tmp_path / "out.csv", tmp_path / "out.csv.part"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", _full)
        assert sojourn("export", file, "--db", db).exit_code == 1
    beside = tmp_path / "out.csv.part.asked"
    assert beside.read_bytes() == HEADER
    part.write_bytes(begun := part.read_bytes()[:5000])
    if asked is None:
        beside.unlink()
    else:
        beside.write_bytes(asked)
    result = sojourn("export", file, "--db", db, "--resume", *options)
    assert (result.exit_code, reason in result.output) == (1, True), result.output
    assert part.read_bytes() == begun


def test_a_table_has_a_row_an_event(db: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    assert sojourn("export", file, "--db", db, "--user", "ada").exit_code == 0
    rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode(), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 2300 + 10 * 2 + 10 * 2
    said = next(row for row in rows if row["message_id"] == "m0")
    assert said["text"] == '=1+1, "quoted"\n0;\ttab é 😀\r\n'
    assert json.loads(said["payload"])["text"] == said["text"]
    assert (said["user_id"], said["channel"], said["type"]) == ("ada", "web", "message:received")


def test_parquet_holds_the_same_rows(db: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table, file = tmp_path / "out.csv", tmp_path / "out.parquet"
    assert sojourn("export", table, "--db", db).exit_code == 0
    assert sojourn("export", file, "--db", db).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(table.read_bytes().decode(), newline="")))
    found = parquet.read_table(file).to_pylist()
    assert [(each["session_id"], each["seq"], each["text"] or "") for each in found] == [
        (each["session_id"], int(each["seq"]), each["text"]) for each in rows
    ]
    assert [each["at"].timestamp() for each in found] == pytest.approx(
        [float(each["at"]) for each in rows], abs=1e-6
    )


def test_selections_meet(db: Path) -> None:
    def sessions(*options: str) -> int:
        end: dict[str, int] = json.loads(sojourn("export", "-", "--db", db, *options).stdout.splitlines()[-1])
        return end["sessions"]

    assert sessions() == 20
    assert sessions("--status", "closed", "--channel", "web", "--user", "ada") == 10
    assert sessions("--status", "active") == 0
    assert sessions("--since", "2000-01-01", "--until", "2100-01-01T00:00:00+02:00") == 20
    assert sessions("--until", "2000-01-01") == 0
    assert sessions("--session", "a", "--session", "b") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("export", "out.jsonl", "--db", "nothing.db"), 1, "nothing.db"),
        (("export", "out.jsonl", "--resume"), 1, "no out.jsonl.part to go on with"),
        (("export", "-", "--resume"), 2, "goes with a file"),
        (("export", "out.parquet", "--resume"), 2, "goes with a file"),
        (("export", "-", "--format", "parquet"), 2, "not to standard output"),
        (("export", "out.jsonl", "--since", "yesterday"), 2, "--since is like"),
        (("export", "no/such/folder/out.jsonl"), 1, "cannot be written"),
        (("import", "nothing.jsonl"), 1, "cannot be read"),
        (("import", "."), 1, "cannot be read"),
        (("import", "text.txt"), 1, "text.txt, line 1: this is no JSON"),
        (("import", "newer.jsonl"), 1, "newer.jsonl, line 1: its format 2 is of a later Sojourn"),
        (("import", "cut.jsonl"), 1, "cut.jsonl, line 2: the file ends here"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    db: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    Path("text.txt").write_text("hello\n")
    Path("newer.jsonl").write_bytes(HEADER.replace(b":1", b":2"))
    Path("cut.jsonl").write_bytes(HEADER)
    target = ("--db", db) if arguments[0] == "export" and "--db" not in arguments else ()
    result = sojourn(*arguments, *target)
    assert (result.exit_code, len(result.output.splitlines())) == (code, 1), result.output
    assert reason in result.output
    assert not Path("out.jsonl").exists()


def test_a_file_that_is_no_export_makes_no_database(tmp_path: Path) -> None:
    Path("text.txt").write_text("hello\n")
    assert sojourn("import", "text.txt", "--into", "new.db").exit_code == 1
    assert not Path("new.db").exists()


def test_an_import_beside_a_running_server_is_refused_an_export_is_not(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with ServerProcess(tmp_path / "served") as server:
        with server.connect() as wire:
            created = wire.ok("session:create", user=ADA)["session_id"]
        out = sojourn("export", tmp_path / "live.jsonl", "--db", server.path)
        assert out.exit_code == 0, out.output
        assert created in (tmp_path / "live.jsonl").read_text()
        result = sojourn("import", tmp_path / "live.jsonl", "--into", server.path)
        assert result.exit_code == 1
        forked = sojourn("fork", created, "--at", "1", "--port", server.address[1])
        assert forked.exit_code == 0, forked.output
        with server.connect() as wire:
            assert wire.session(forked.output.strip())["user"] == ADA
        refused = sojourn("fork", created, "--at", "9", "--port", server.address[1])
        assert (refused.exit_code, "at_seq is 9" in refused.output) == (1, True)
        assert server.stop() == 0
