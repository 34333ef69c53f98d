"""Identifies a process, so that no other one, before or after it, is mistaken for it."""

import os
import secrets
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Describes this process, as JSON with a token that is unique to the call."""
    return {
        "host": socket.gethostname(),
        "boot": _kernel("sys/kernel/random/boot_id"),
        "pid_namespace": _pid_namespace(),
        "pid": os.getpid(),
        "started": start_time(os.getpid()),
        "command": " ".join(sys.argv),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        "token": secrets.token_hex(8),
    }


def is_alive(owner: dict[str, Any]) -> bool | None:
    """Whether a process is alive; None if that cannot be seen from here."""
    here = describe()
    pid = owner.get("pid")
    # The kernel, not the host's name, says which processes one can see: containers share names.
    same = ("boot", "pid_namespace") if here["boot"] else ("host",)
    if not isinstance(pid, int) or pid <= 0 or any(owner.get(n) != here[n] for n in same):
        return None
    started = start_time(pid)
    if started is not None:
        return started == owner.get("started")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Of another user, whose processes this system hides.
        return None
    # Ended and not yet waited for; or on a system without /proc.
    return False if here["started"] is not None else None


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; None if it has ended or cannot be seen."""
    stat = _kernel(f"{pid}/stat")
    if stat is None:
        return None
    # The name, in parentheses, may hold spaces and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _kernel(name: str) -> str | None:
    try:
        return Path("/proc", name).read_text().strip()
    except OSError:
        return None


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
