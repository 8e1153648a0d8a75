"""Reports and searches that ask an archive print what they print of the log itself."""

from __future__ import annotations

import json
import lzma
import shlex
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditd_py.archive import counts
from auditd_py.archive.commits import Commit, commit, load
from auditd_py.archive.engine import DuckDB, Files
from auditd_py.archive.files import readable_files
from auditd_py.archive.place import place
from auditd_py.archive.question import part_of
from auditd_py.archive.source import ArchiveSource
from auditd_py.archive.writer import archive
from auditd_py.cli import aureport, ausearch
from auditd_py.report.definitions import REPORTS
from auditd_py.report.filters import Filter
from auditd_py.report.scan import Scanner
from auditd_py.search.reader import open_file
from tests.archive.logs import generated
from tests.report.logs import call, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Command = Callable[..., tuple[int, bytes, bytes]]

DATA = Path(__file__).parent.parent / "data"
CASES = {
    "aureport": [
        one["options"]
        for one in json.loads(lzma.decompress((DATA / "aureport.json.xz").read_bytes()))["aureport"]
        if "raw" in one["log"] and not {"-t", "--log"} & {*one["options"].split()}
    ],
    "ausearch": [
        one["options"] for one in json.loads((DATA / "ausearch.json").read_text()) if "raw" in one["log"]
    ],
}  # fmt: skip
LISTS = [f"{report.options[-1]} -i" for report in REPORTS]
SUMMARIES = [f"{report.options[-1]} --summary" for report in REPORTS if report.summary]
MORE = [
    "", "-i --failed", "-x --by hour", "-u --by day -i", "-s --by node -i", "-e --json", "-f --csv",
    "--json", "-l -i --json", "-k --top 3", "-m --summary --delete", "-m --summary --add", "-tm -nc",
    "-e --summary --node a", "-e --node b/é --node a", "-f --summary -ts {0}", "-x -ts {0} -te {1}",
    "-x --by hour -te {1}", "-ts {0} -te {1}", "-p --summary --success -te {0}", "-u --escape raw",
]  # fmt: skip
SEARCHES = [
    "", "--raw", "-i", "--format csv --extra-keys --extra-time", "--format text", "--json", "-a 300",
    "-k k1", "-k k1 -w", "-f f12", "-f /etc/f1 -w --raw", "-x /bin/3 --raw", "-x 3 -w", "-c tru",
    "-p 101 --json", "-sv no -i", "-m ADD_USER,TTY", "-m PATH --raw", "-sc openat -k 2", "-sc 257 -x 7",
    "-ua 1001", "-ul unset --raw", "-ue 0", "-ga 0 --just-one", "-hn h1", "-hn 10.0.0.9", "-tm pts",
    "--session 3", "--session -1 --raw", "-n a --raw", "-n b/é -i", "-e 3 --just-one", "-se u:r",
    "-vm v", "-ts {0} -te {1} --raw", "-ts {1} -k k1", "--stats", "-k nothing", "-pp 1 -f f7",
    "--arch b64 -sc openat --raw", '-f "A" --raw', '-x "b\'n" --raw', "-f /tmp/\n",
]  # fmt: skip

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    def of(command: str, *words: str) -> tuple[int, bytes, bytes]:
        status = {"aureport": aureport, "ausearch": ausearch}[command].main(list(words))
        output, errors = capfdbinary.readouterr()
        return status, output, errors

    return of


def archived(log: Path, destination: Path) -> Path:
    there = place(str(destination))
    archive(there, [open_file(str(log))], 2, pytest.fail)
    counts.update(there)
    return destination


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Logs with their archives, by name."""
    folder = tmp_path_factory.mktemp("archives")
    texts = {"generated": generated(7)} | {
        name: recorded(f"alpha-{name}") for name in ("raw", "enriched")
    }
    made = {}
    for name, text in texts.items():
        log = folder / f"{name}.log"
        log.write_bytes(text)
        made[name] = (str(log), str(archived(log, folder / f"{name} [it's *]")))
    return made


def words_of(options: str, log: str) -> list[str]:
    """Return the words of a command line, with two times of a log in it."""
    seconds = sorted(
        int(line.split(b"audit(")[1][:10]) for line in Path(log).read_bytes().splitlines()
    )
    times = (datetime.fromtimestamp(seconds[len(seconds) * part // 3], UTC) for part in (1, 2))
    return shlex.split(options.format(*(f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in times)))


def same(run: Command, command: str, options: str, log: tuple[str, str], *more: str) -> bytes:
    words = words_of(options, log[0])
    plain = run(command, *words, "-if", log[0])
    asked = run(command, *words, "--archive", log[1], *more)
    # of a time an archive's note tells of what is left out of that time
    ends = 2 if "{" in options else 3
    assert asked[:ends] == plain[:ends], options
    return plain[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("command", "name"), [("aureport", "enriched"), ("ausearch", "raw")])
def test_the_golden_command_lines_print_the_same(run, logs, command, name):
    for options in dict.fromkeys(CASES[command]):
        same(run, command, options, logs[name])


@pytest.mark.slow
@pytest.mark.parametrize("counted", [True, False])
def test_every_report_prints_the_same(run, logs, counted, tmp_path):
    log, there = logs["generated"]
    if not counted:
        there = shutil.copytree(there, tmp_path / "copy", ignore=lambda *_: [counts.FOLDER])
    for options in LISTS + SUMMARIES + MORE:
        assert same(run, "aureport", options, (log, str(there)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["generated", "enriched"])
def test_every_search_prints_the_same(run, logs, name):
    # a search of a time looks at no other lines, so it may tell overlapping events otherwise
    searches = [one for one in SEARCHES if name != "generated" or "{" not in one]
    found = [same(run, "ausearch", options, logs[name]) for options in searches]
    assert sum(map(bool, found)) > len(found) // 2


@pytest.mark.parametrize("options", ["-f --summary", "-x --failed", "", "-l -i -ts {0}"])
def test_a_report_of_an_archive_is_that_of_the_log(run, logs, options):
    assert same(run, "aureport", options, logs["generated"])


@pytest.mark.parametrize("options", ["-k k1 --raw", "-ua 1001 -i"])
def test_a_search_of_an_archive_is_that_of_the_log(run, logs, options):
    assert same(run, "ausearch", options, logs["generated"])


def test_logs_of_several_hosts_come_together_by_time(run, tmp_path):
    logs = []
    for node, first in ((b"a", 0), (b"b", 1)):
        log = tmp_path / f"{node.decode()}.log"
        lines = [call(n, second=1_700_000_000 + n, node=node) for n in range(first, 60, 2)]
        log.write_bytes(b"".join(lines))
        logs.append(log)
    for log in logs:
        archived(log, tmp_path / "archive")
    _, text, _ = run("aureport", "-e", "--archive", str(tmp_path / "archive"))
    assert [int(line.split()[3]) for line in text.splitlines()[5:]] == list(range(60))


def test_each_report_has_what_its_definition_says():
    for log in (generated(3), recorded("alpha-enriched")):
        columns = Scanner().columns(b"\n" + log)
        for report in REPORTS:
            rows = [place for place, _ in report.rows(columns)]
            if report.summary is not None:
                rows += [place for place, _ in report.summary.counted(columns)]
            if isinstance(report.having, str):
                there = {
                    p
                    for p, one in enumerate(columns.column(report.having))
                    if one not in (None, ())
                }
            else:
                there = {
                    p for p, one in enumerate(columns.types) if not report.having.isdisjoint(one)
                }
            assert set(rows) <= there, report.name  # fmt: skip


def test_counts_are_made_once_and_go_with_their_file(logs, tmp_path):
    there = place(str(shutil.copytree(logs["generated"][1], tmp_path / "copy")))
    state = load(there)
    paths = {name: Path(counts.path_of(there.root, name)) for name in state.files}
    made = {name: path.stat().st_ino for name, path in paths.items()}
    counts.update(there)
    assert made == {name: path.stat().st_ino for name, path in paths.items()}
    gone = min(paths)
    commit(there, state, Commit(remove=[gone]))
    counts.update(there)
    assert [name for name, path in paths.items() if not path.exists()] == [gone]


def test_what_cannot_be_said_in_sql_is_left_to_the_search():
    assert part_of("exe", [b"/bin/sh"]) == ["(contains(CAST(exe AS VARCHAR), '/bin/sh'))"]
    assert part_of("exe", [b"it's"]) == part_of("exe", [b"a\\b"]) == part_of("exe", [b"\xc3"]) == []
    assert part_of("lines", [b"plain", b'"']) == []


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("aureport", "-t --archive x", "--log is about log files: it excludes --archive"),
        ("aureport", "-x -if y --archive x", "--input is about log files"),
        ("aureport", "-x --index --archive x", "--index is about log files"),
        ("aureport", "-x --eoe-timeout 3 --archive x", "--eoe-timeout is about log files"),
        ("aureport", "--html y --archive x", "--html is about log files"),
        ("aureport", "-x --skip-bad", "--engine and --skip-bad need --archive"),
        ("aureport", "-x --archive x --engine mysql", "--engine mysql: duckdb, spark://"),
        ("aureport", "-x --archive x", "x: there is no archive"),
        ("ausearch", "--checkpoint y --archive x", "--checkpoint is about log files"),
        ("ausearch", "--follow --archive x", "--follow is about log files"),
        ("ausearch", "-if y --archive x", "--input is about log files"),
        ("ausearch", "--engine duckdb", "--engine and --skip-bad need --archive"),
        ("ausearch", "--archive x --engine spark", "--engine spark: duckdb, spark://"),
        ("ausearch", "--archive x", "x: there is no archive"),
    ],
)
def test_what_makes_no_sense_is_refused(run, command, words, said, *, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, errors = run(command, *words.split())
    assert (status, said in errors.decode()) == (1, True), errors


def test_a_damaged_file_is_named_and_can_be_left_out(run, logs, tmp_path):
    there = shutil.copytree(logs["generated"][1], tmp_path / "copy")
    bad = next(there.glob("node=a/day=*/*.parquet"))
    bad.write_bytes(bad.read_bytes()[:-9])
    words = ("-e", "--summary", "--archive", str(there))
    status, output, errors = run("aureport", *words)
    assert status == 1
    assert str(bad) in errors.decode()
    status, output, errors = run("aureport", *words, "--skip-bad")
    assert (status, b"SYSCALL" in output or b"1300" in output) == (0, True)
    assert f"left out: {bad}" in errors.decode()
    assert run("ausearch", "--raw", "--archive", str(there), "--skip-bad")[1].count(b"node=b/") > 9


def test_files_of_another_filesystem_are_read_through_it(logs):
    from pyarrow.fs import LocalFileSystem

    there = place(logs["generated"][1])
    engine = DuckDB(Files(readable_files(there), filesystem=LocalFileSystem()))
    try:
        source = ArchiveSource(engine, Filter(nodes=frozenset({b"a"})), "files")
        found = [*source.columns(frozenset({"files"}), frozenset())]
        counted = [*source.counted([frozenset({"exe"})], frozenset({1107}))]
    finally:
        engine.close()
    log = Scanner().columns(b"\n" + Path(logs["generated"][0]).read_bytes())
    wanted = [p for p, node in enumerate(log.node) if node == b"a" and log.files[p]]
    assert [one for columns in found for one in columns.files] == [log.files[p] for p in wanted]
    assert sum(number for _, numbers, _ in counted for number in numbers) == len(wanted)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Spark cluster of two executors: its master's address."""
    pyspark = pytest.importorskip("pyspark")
    home = tmp_path_factory.mktemp("spark")
    for part in Path(pyspark.__file__).parent.iterdir():
        (home / part.name).symlink_to(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(home))  # workers write below it
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        master = "local-cluster[2,1,1024]"
        quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # for a short life
        session = (
            pyspark.sql.SparkSession.builder.master(master)
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.extraJavaOptions", quick)
            .config("spark.executor.extraJavaOptions", quick)
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("FATAL")
        yield master
        session.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")
def test_spark_prints_the_same(run, logs, cluster):
    for options in LISTS + SUMMARIES + MORE[:8]:
        assert same(run, "aureport", options, logs["generated"], "--engine", cluster)
    for options in SEARCHES[3:20:3]:
        same(run, "ausearch", options, logs["enriched"], "--engine", cluster)
