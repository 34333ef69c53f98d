"""The oracle `people`: asks them, and takes up what they answered once their round is closed."""

from pathlib import Path

from cbda_jax.annotation.answer_log import AnswerLog
from cbda_jax.annotation.answers import Answers
from cbda_jax.annotation.asking import Pending, Setting
from cbda_jax.annotation.people.asked import Asked, read_asked, write_asked
from cbda_jax.annotation.people.disks import network_file_system
from cbda_jax.annotation.people.freeze import answers_of, ledger_path
from cbda_jax.annotation.people.ledger import read_round
from cbda_jax.annotation.queries import Queries
from cbda_jax.annotation.query_log import QueryLog
from cbda_jax.annotation.round_files import round_path


class PeopleOracle:
    """Has people answer, with `python -m cbda_jax.annotate`.

    That program alone writes the ledger. What it needs to know of a round is in a file of the run,
    `answers/people_NN.json`. When a round is closed it writes the answers, `round_NN.npz`; if it
    was killed before it could, they are made here, of the ledger: the same ones.

    Args:
        setting: of the run; the sizes of its images, `redundancy` and `hidden` count here.
    """

    def __init__(self, setting: Setting):
        self._setting = setting
        self._answers = setting.workdir / "answers"
        # Of a run in an object store, whoever serves the page has it on a disk of theirs.
        workdir = setting.workdir
        self._ledger = ledger_path(workdir) if isinstance(workdir, Path) else None
        self._seen: tuple[object, int] = (None, 0)

    def ask(self, queries: Queries) -> Answers | Pending:
        """The answers once the round is closed.

        Raises:
            InputError: the ledger or a file of the round is damaged.
        """
        setting = self._setting
        asked = read_asked(self._answers, queries)
        if asked is None:
            asked = Asked(
                round=queries.round,
                queries=queries.checksum,
                classes=setting.classes,
                sizes={image_id: setting.sizes[image_id] for image_id in queries.image_ids},
                redundancy=setting.redundancy,
                hidden=setting.hidden,
                seed=setting.seed,
            )
            write_asked(self._answers, asked)
        # A run that waits asks again and again, and nothing else is to be read for that.
        if round_path(self._answers, queries.round).exists():
            log = QueryLog(setting.workdir / "queries")
            frozen = AnswerLog(self._answers, log, classes=asked.classes, sizes=asked.sizes)
            return frozen.rounds[queries.round - 1]
        found = self._in_ledger(queries, asked)
        if isinstance(found, Answers):
            return found
        where = f"the page of `python -m cbda_jax.annotate --workdir={setting.workdir}`"
        return Pending(queries, where, found)

    def _in_ledger(self, queries: Queries, asked: Asked) -> Answers | int:
        """The answers of a closed round; how many there are of an open one."""
        # A database is not to be opened there; what was answered elsewhere comes as a frozen file.
        if self._ledger is None or not self._ledger.exists() or network_file_system(self._ledger):
            return 0
        state = [queries.round, *map(_state, (self._ledger, Path(f"{self._ledger}-wal")))]
        if self._seen[0] == state:
            return self._seen[1]
        with read_round(self._ledger, queries, sizes=asked.sizes) as found:
            if found is None:
                return 0
            if found.closed:
                return answers_of(found)
            answered = found.progress().answered
        self._seen = (state, answered)
        return answered


def _state(path: Path) -> tuple[int, int] | None:
    """Tells whether a file has changed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
