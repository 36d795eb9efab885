"""Signals that ask a process to stop."""

import contextlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to stop: Ctrl-C, `kill`, and a terminal that is closed."""


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], int | None]]:
    """Catch the first SIGINT, SIGTERM or SIGHUP; the yielded function returns its number. A second one acts normally.

    SIGTERM and SIGHUP stay ignored if the process ignores them, as under nohup. Signals reach only a process's main
    thread; in other threads the yielded function returns None.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        leave_terminal(number)
        signal.signal(number, previous[signal.Signals(number)])

    # nohup ignores SIGHUP. A shell's background job ignores SIGINT too, but SIGINT must stop it nevertheless.
    caught = [
        number for number in STOP_SIGNALS if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN
    ]
    previous = {number: signal.signal(number, remember) for number in caught}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def leave_terminal(number: int) -> None:
    """If the signal is SIGHUP, discard output to the closed terminal: an error there would prevent saving."""
    if number == getattr(signal, "SIGHUP", None):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                descriptor = stream.fileno()
                if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                    silence(descriptor)


def silence(descriptor: int) -> None:
    """Discard all further output to a file descriptor."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
