"""The standard library as data: no held-out word in what is trained on."""

from __future__ import annotations

import ast
from pathlib import Path

from codex.data.stdlib import SourceFile, docstrings, docstrings_of, family, first_sentence, source_files, split_of


def test_split_is_a_function_of_the_family_alone() -> None:
    assert split_of("asyncio.events") == split_of("asyncio") == split_of("_asyncio")
    assert family("_pydecimal") == family("decimal") == family("_decimal") == "decimal"
    assert family("pydoc") == "pydoc"


def test_split_of_known_modules_never_changes() -> None:
    # codex-tiny was trained on the training side: a change here makes its held-out numbers void.
    expected = {
        "unittest": "heldout", "tarfile": "heldout", "pathlib": "heldout", "turtle": "heldout", "imaplib": "heldout",
        "asyncio": "train", "email": "train", "json": "train", "os": "train", "decimal": "train", "tkinter": "train",
    }  # fmt: skip
    assert {name: split_of(name) for name in expected} == expected


def test_source_files_both_sides_share_no_family() -> None:
    files = list(source_files())
    sides = {side: {family(file.module) for file in files if file.split == side} for side in ("train", "heldout")}
    assert len(sides["train"]) > 80
    assert len(sides["heldout"]) > 10
    assert not sides["train"] & sides["heldout"]
    characters = {side: sum(len(file.text) for file in files if file.split == side) for side in sides}
    assert 0.05 < characters["heldout"] / sum(characters.values()) < 0.3


def test_heldout_docstrings_stand_nowhere_in_the_training_text() -> None:
    _, heldout = docstrings()
    trained = " ".join(" ".join(file.text.split()) for file in source_files() if file.split == "train")
    assert len(heldout) > 200
    assert [pair.name for pair in heldout if pair.sentence.rstrip(".") in trained] == []


def test_heldout_functions_stand_nowhere_among_the_trained() -> None:
    train, heldout = docstrings()
    assert len(train) > 2000
    assert not {pair.source for pair in train} & {pair.source for pair in heldout}
    assert not {pair.module for pair in train} & {pair.module for pair in heldout}


def test_leak_filter_leaves_out_a_planted_copy(tmp_path: Path, monkeypatch) -> None:
    import codex.data.stdlib as stdlib

    function = (
        'def f(x):\n    """Give the number that was asked for."""\n    return x\n\n\n'
        'def g(x):\n    """Give quite another number."""\n    return -x\n'
    )
    files = [
        SourceFile("kept", function, "heldout"),
        SourceFile("copy", 'def h(y):\n    """Give the number\n    that was asked for."""\n    return y + 1\n', "train"),
    ]
    monkeypatch.setattr(stdlib, "source_files", lambda: iter(files))
    stdlib.docstrings.cache_clear()
    try:
        _, heldout = stdlib.docstrings()
        assert [pair.name for pair in heldout] == ["kept.g"]
    finally:
        stdlib.docstrings.cache_clear()


def test_docstrings_of_source_is_python_without_the_docstring() -> None:
    text = '''
class Box:
    @property
    def size(self):
        """Return the size of the box.

        In litres.
        """
        # counted
        return self._size

    def empty(self): "One line."
    def only(self):
        """Says something but does nothing."""
'''
    pairs = list(docstrings_of(SourceFile("box", text, "train")))
    assert [(pair.name, pair.sentence) for pair in pairs] == [("box.Box.size", "Return the size of the box.")]
    assert pairs[0].source == "@property\ndef size(self):\n    # counted\n    return self._size"


def test_docstrings_of_running_python_agree_with_ast() -> None:
    train, _ = docstrings()
    whole = [pair for pair in train if len(pair.source) < 400]
    assert len(whole) > 1000
    for pair in whole[::40]:
        node = ast.parse(pair.source).body[0]
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        assert ast.get_docstring(node) is None
        assert pair.name.rpartition(".")[2] == node.name


def test_first_sentence_ends_at_the_first_full_stop_or_paragraph() -> None:
    assert first_sentence("Return a list. Then rest.") == "Return a list."
    assert first_sentence("Return a\n  longer list\n\nMore.") == "Return a longer list"
    assert first_sentence("Too short") is None
    assert first_sentence("word " * 60) is None
