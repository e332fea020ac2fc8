"""What a forked child must let go of: its parent's files, locks and threads.

A child inherits open files and held locks, but not the threads that would work with them. Each object that owns such
things registers here, and drops them in the child before any other code runs there. What would wait for its threads when it
ends, as DuckDB and tantivy do, is kept for ever instead.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """An object that owns files, locks or threads of this process."""

    def forget_parent(self) -> None:
        """Close what was inherited without writing to it, and start with fresh locks."""
        ...


_owners: WeakSet[Inherited] = WeakSet()


def forget_after_fork(owner: Inherited) -> None:
    """Have `owner.forget_parent()` called in every child that is forked from now on."""
    _owners.add(owner)


def keep_for_ever(*inherited: object) -> None:
    """In a forked child: never let these end, not even with the interpreter, for they would wait for threads that only the parent has."""
    import ctypes

    for each in inherited:
        if each is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


def _forget() -> None:
    for owner in list(_owners):
        owner.forget_parent()


os.register_at_fork(after_in_child=_forget)
