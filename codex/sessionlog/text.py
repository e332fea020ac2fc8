"""Ranked search in what was said: a tantivy index of the parts, and a small one in memory of what is not compacted yet.

The index holds words and where each event is; texts stay in the parts. A part's rows are added under the part's name, after
whatever stands under that name was removed, so that a compactor which dies in between does no harm.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codex.core.errors import WorkspaceError
from codex.sessionlog.failures import has_no_room, is_locked_out, is_refused, is_tantivy, plainly
from codex.sessionlog.manifest import Part
from codex.sessionlog.parts import rows_of, workbench
from codex.sessionlog.selection import Selection
from codex.sessionlog.text_files import files_of, opened, sums_up

if TYPE_CHECKING:
    import tantivy

FOLDER: Final = "text-1"  # another number when the fields change: then the index is made anew from the parts
TOKENIZER: Final = "words"
WRITER_BYTES: Final = 100_000_000
FETCH_ROWS: Final = 10_000
COLUMNS: Final = "session, seq, day, role, kind, tool, model, content"
_WORD = re.compile(r"\w+")


class IndexDamaged(WorkspaceError):
    """The text index is not what was written; compaction makes it anew."""


@dataclass(frozen=True)
class Found:
    """An event that a search found: how well it fits, and which it is; `day` is its UTC date as `2026-11-25`."""

    score: float
    session: str
    seq: int
    day: str


def make_schema() -> tantivy.Schema:
    """The fields of the index."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("content", tokenizer_name=TOKENIZER, index_option="freq")
    builder.add_text_field("session", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("seq", stored=True)
    builder.add_unsigned_field("day", stored=True, indexed=True)
    for name in ("role", "kind", "tool", "model", "part"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _register(index: tantivy.Index) -> tantivy.Index:
    index.register_tokenizer(TOKENIZER, analyzer())
    return index


@functools.cache
def analyzer() -> tantivy.TextAnalyzer:
    """How text becomes words: split at everything that is no letter or digit, so `snake_case` is two words; lower case, no accents."""
    import tantivy

    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for each in (tantivy.Filter.remove_long(80), tantivy.Filter.lowercase(), tantivy.Filter.ascii_fold()):
        builder = builder.filter(each)
    return builder.build()


def _document(row: Sequence[Any], part: str) -> tantivy.Document:
    import tantivy

    session, seq, day, role, kind, tool, model, content = row
    fields = {"content": content, "session": session, "role": role, "kind": kind, "part": part}
    fields |= {name: value for name, value in (("tool", tool), ("model", model)) if value is not None}
    document = tantivy.Document(**fields)
    document.add_unsigned("seq", seq)
    document.add_unsigned("day", day.toordinal())
    return document


class Writing:
    """The index while it is being changed; made by `TextIndex.writing`."""

    def __init__(self, folder: Path, writer: Any) -> None:
        self._folder = folder
        self._writer: Any = writer

    def let_go(self) -> None:
        """Give up the writer: then what was not committed is forgotten, and its lock free, though an error's traceback holds us."""
        self._writer = None

    def add(self, part: Part) -> None:
        """Add a part's rows, in the place of any that stand under its name."""
        self._writer.delete_documents_by_term("part", part.name)
        with workbench(self._folder / "scratch") as connection:
            found = connection.execute(f"select {COLUMNS} from {rows_of(self._folder, [part])} where content != ''")
            while rows := found.fetchmany(FETCH_ROWS):
                for row in rows:
                    self._writer.add_document(_document(row, part.name))


class TextIndex:
    """The index of one log's parts.

    Args:
        folder: the log's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FOLDER
        self._index: Any = None
        self._reloads = True
        self._as_of: object = None

    def exists(self) -> bool:
        """Whether there is one; whether it can be opened is another question."""
        return (self._path / "meta.json").is_file()

    def damage(self) -> str | None:
        """What is wrong with its files by tantivy's own sums, read whole; None when nothing is.

        Raises:
            WorkspaceError: they may not be read.
        """
        try:
            segments = json.loads((self._path / "meta.json").read_bytes())["segments"]
            managed = set(json.loads((self._path / ".managed.json").read_bytes()))
            for name in (name for segment in segments for name in files_of(segment)):
                if name not in managed or not sums_up(self._path / name):
                    return f"{name!r} is not what was written"
            with self.in_words():
                self._opened()
        except IndexDamaged as error:
            return error.problems[0].what
        except PermissionError as error:
            raise self._said(error) from error
        except OSError as error:
            return f"{Path(str(error.filename)).name!r} cannot be read ({error.strerror or error})"
        except (ValueError, KeyError, TypeError):
            return "its list of files is not what was written"
        return None

    @contextmanager
    def in_words(self) -> Generator[None]:
        """Say an error of tantivy's in our words.

        Raises:
            IndexDamaged: it cannot read its files, or reads nonsense.
            WorkspaceError: the disk is full, or it may not read or write its files.
        """
        try:
            yield
        except BaseException as error:
            if not is_tantivy(error):
                raise
            self._index = None
            raise self._said(error) from error

    def remove(self) -> None:
        """Remove it; the compactor makes it anew from the parts.

        Raises:
            WorkspaceError: something of it is still there.
        """
        shutil.rmtree(self._path, ignore_errors=True)
        self._index = None
        if left := [path for path in self._path.glob("*") if path.suffix != ".lock"]:  # a reader may just be making its lock
            raise self._said(OSError(f"{left[0].name!r} cannot be removed"))

    @contextmanager
    def writing(self) -> Generator[Writing]:
        """Change the index; what was changed counts when the block ends without an error. For the one compactor only.

        Raises:
            IndexDamaged: it cannot be read.
            WorkspaceError: the disk is full.
        """
        import tantivy

        self._path.mkdir(parents=True, exist_ok=True)
        with self.in_words():
            index = _register(tantivy.Index(make_schema(), path=str(self._path), reuse=True))
            writer = index.writer(heap_size=WRITER_BYTES, num_threads=1)
            writing = Writing(self._folder, writer)
            try:
                yield writing
                writer.commit()
                writer.wait_merging_threads()
            finally:
                writing.let_go()
                del writer

    def open(self, as_of: object = None) -> tantivy.Index:
        """The index, as it was committed last.

        Args:
            as_of: what it belongs to (a manifest); with the same object as before it is not looked for anew, for that takes long.
        """
        with self.in_words():
            if self._index is None or as_of is None or as_of is not self._as_of:
                self._index = self._renewed()
                self._as_of = as_of
            return self._index

    def _renewed(self) -> Any:
        if self._index is not None and self._reloads:
            try:
                self._index.reload()
                return self._index
            except ValueError as error:
                if not is_locked_out(error):
                    raise
        return self._opened()

    def _opened(self) -> Any:
        try:
            index, self._reloads = opened(self._path)
        except OSError as error:
            raise self._said(error) from error
        return _register(index)

    def _said(self, error: BaseException) -> WorkspaceError:
        if has_no_room(error):
            return WorkspaceError(
                f"the text index {str(self._path)!r} cannot be written ({plainly(error)})",
                "expected a disk with room for it",
                "Free some room; nothing is lost, and what it lacks is found all the same.",
            )
        if isinstance(error, OSError) or is_refused(error):
            return WorkspaceError(
                f"the text index {str(self._path)!r} cannot be used ({plainly(error)})",
                "expected files that you may read and, to change them, write",
                "Make them so, or name another workspace: `--workspace DIR`; nothing says that the index is damaged.",
            )
        return IndexDamaged(
            f"the text index {str(self._path)!r} cannot be read ({plainly(error)})",
            "expected the index that compaction keeps",
            "Have it made anew: `codex-ml logs doctor --repair`.",
        )


class TextInMemory:
    """An index of rows that are not in the one on disk; grows, and is made anew when they change otherwise."""

    def __init__(self) -> None:
        import tantivy

        self.index = _register(tantivy.Index(make_schema()))

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows of COLUMNS."""
        writer = self.index.writer(heap_size=WRITER_BYTES // 5, num_threads=1)
        for row in rows:
            if row[-1]:
                writer.add_document(_document(row, ""))
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()


def words_of(text: str) -> list[str]:
    """The words of `text` as the index has them."""
    if text.isascii() and text.isalnum():  # one plain word, which is what most questions of this sort are about
        return [text.lower()]
    return [str(word) for word in analyzer().analyze(text)]


def query_of(index: tantivy.Index, text: str, selection: Selection, *, prefix: bool = False) -> tantivy.Query | None:
    """All words of `text`, in what `selection` selects; None when there is no word.

    Args:
        index: where it will be asked.
        text: what a person typed.
        selection: its days, kinds, roles, tools, models and sessions narrow the search; the rest is for the caller.
        prefix: the last word may be the beginning of one, as long as nothing follows it.
    """
    import tantivy

    schema, must = index.schema, tantivy.Occur.Must
    words = words_of(text)
    if not words:
        return None
    clauses: list[tuple[Any, Any]] = [(must, tantivy.Query.term_query(schema, "content", word, "freq")) for word in words]
    if prefix and _WORD.search(text[-1]):
        begins = tantivy.Query.const_score_query(tantivy.Query.regex_query(schema, "content", f"{words[-1]}.*"), 0.1)
        either = tantivy.Query.boolean_query([(tantivy.Occur.Should, clauses[-1][1]), (tantivy.Occur.Should, begins)])
        clauses[-1] = (must, either)
    clauses += [(must, narrowing) for narrowing in _narrowings(schema, selection)]
    return tantivy.Query.boolean_query(clauses)


def _narrowings(schema: tantivy.Schema, selection: Selection) -> Iterator[tantivy.Query]:
    """Queries that change no score."""
    import tantivy

    named = {
        "kind": selection.kinds,
        "role": selection.roles,
        "tool": selection.tools,
        "model": selection.models,
        "session": selection.sessions,
    }
    for name, values in named.items():
        if values:
            yield tantivy.Query.const_score_query(tantivy.Query.term_set_query(schema, name, list(values)), 0.0)
    if selection.since is not None or selection.until is not None:
        low = 0 if selection.since is None else _ordinal(selection.since)
        high = 4_000_000 if selection.until is None else _ordinal(selection.until)
        days = tantivy.Query.range_query(schema, "day", tantivy.FieldType.Unsigned, low, high)
        yield tantivy.Query.const_score_query(days, 0.0)


def _ordinal(ts: float) -> int:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ts, UTC).date().toordinal()


def look(index: tantivy.Index, query: tantivy.Query, limit: int) -> list[Found]:
    """The best `limit` events, the best first; one that stands there more than once counts once, and takes no other's place."""
    searcher, asked = index.searcher(), limit
    while True:
        hits = searcher.search(query, asked, count=False).hits
        found: dict[tuple[str, int], Found] = {}
        for score, address in hits:
            document: Any = searcher.doc(address)
            day = date.fromordinal(document.get_first("day")).isoformat()
            each = Found(float(score), document.get_first("session"), document.get_first("seq"), day)
            found.setdefault((each.session, each.seq), each)
        if len(found) >= limit or len(hits) < asked:
            return list(found.values())[:limit]
        asked *= 2
