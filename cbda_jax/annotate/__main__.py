"""`python -m cbda_jax.annotate --workdir=RUN`: the page on which people answer what a run asks.

Each person gets an address of their own: `--person ADA --person BEN` prints two. It serves round
after round until it is stopped; what was answered is on the disk with every key. A round is closed
on the summary page, by `--close`, or by itself a while after its last query is settled; then the
run goes on with the same command (exit status 77 has said so), or is waiting for it (`--wait`).

Exit status:
    0: it was told to stop, or has done what it was asked to do.
    2: something is the user's to mend, told in one line.
"""

import argparse
import getpass
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from cbda_jax.annotate.desk import QUIET_S, Desk
from cbda_jax.annotate.photographs import open_target
from cbda_jax.annotate.pictures import Pictures
from cbda_jax.annotation.people import Ledger, backup, export_csv
from cbda_jax.annotation.people.freeze import ledger_path
from cbda_jax.errors import InputError
from cbda_jax.run import workdir
from cbda_jax.stores import reported, to_path

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _Parser(argparse.ArgumentParser):
    """Says what is mistyped in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags; those of the command line by default."""
    parser = _Parser(prog="python -m cbda_jax.annotate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workdir", required=True, help="of the run that asks")
    parser.add_argument(
        "--ledger",
        type=Path,
        metavar="FILE",
        help="what people answered, event by event, on a local disk; needed where the workdir is "
        "in an object store, and always the same one then",
    )
    parser.add_argument(
        "--person",
        action="append",
        default=[],
        metavar="NAME",
        help="prints a new address for this person, once for each; an older one is no longer valid",
    )
    parser.add_argument(
        "--data-dir", type=Path, help="where prepared data sets are, if the run had them elsewhere"
    )
    parser.add_argument("--host", default=_LOOPBACK[0], help="where to listen (this machine alone)")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument(
        "--trust-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name by which people reach the server, such as that of a reverse proxy that "
        "adds HTTPS and passes the header Host on",
    )
    parser.add_argument(
        "--quiet",
        type=float,
        default=QUIET_S,
        metavar="SECONDS",
        help="without an answer, after which a round whose queries are all settled is closed",
    )
    parser.add_argument("--close", action="store_true", help="close the open round, and end")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE.csv",
        help="write all events, also while it is served, and end",
    )
    parser.add_argument(
        "--backup",
        type=Path,
        metavar="FILE",
        help="copy the ledger, also while it is served, and end",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Opens what the run has asked and serves it; gives the exit status."""
    flags = parse(arguments)
    try:
        flags.workdir = to_path(flags.workdir, "--workdir")
        with reported(flags.workdir):
            workdir.check_run(flags.workdir)
        if not 0 <= flags.port < 2**16:
            raise InputError(f"--port: {flags.port} found, expected 0 to 65535; choose another")
        names = _names(flags.host, flags.trust_host)
        path = _ledger(flags)
        # Also while another process of this program serves.
        if flags.export:
            export_csv(path, flags.export)
        if flags.backup:
            backup(path, flags.backup)
        if (flags.export or flags.backup) and not flags.close:
            return 0
        with Ledger(path) as ledger:
            target = open_target(flags.workdir, flags.data_dir)
            pictures = Pictures(target.read, target.sizes)
            desk = Desk(flags.workdir, ledger, target.space, pictures, quiet_s=flags.quiet)
            desk.look()
            if flags.close:
                desk.close_round("--close")
            else:
                _serve(desk, flags, names)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _ledger(flags: argparse.Namespace) -> Path:
    """The file that people's answers are kept in.

    Raises:
        InputError: there would be two, or none that a database can be.
    """
    if isinstance(flags.workdir, Path):
        own = ledger_path(flags.workdir)
        if flags.ledger is not None and flags.ledger.absolute() != own.absolute():
            raise InputError(
                f"--ledger: {flags.ledger} found, expected {own}, where the run looks for it; "
                "leave it out"
            )
        return own
    if flags.ledger is None:
        raise InputError(
            f"--workdir: {flags.workdir}, in an object store, found without --ledger, expected a "
            "file on a local disk for what people answer; name one, the same at every start"
        )
    return flags.ledger


def _names(host: str, trusted: Sequence[str]) -> set[str]:
    """The host names that the server goes by.

    Raises:
        InputError: it is to listen everywhere, and nothing says what it is called there.
    """
    names = {*_LOOPBACK, host}
    if _is_everywhere(host):
        names.remove(host)
        if not trusted:
            raise InputError(
                f"--host: {host} found without --trust-host, expected the name or address that "
                "people type too; add --trust-host=NAME"
            )
    return names


def _is_everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _serve(desk: Desk, flags: argparse.Namespace, names: set[str]) -> None:
    """Serves until SIGINT or SIGTERM comes."""
    try:
        import uvicorn

        from cbda_jax.annotate.server import create_app
    except ImportError as error:
        raise InputError(
            f"python -m cbda_jax.annotate: {error.name} not found, expected the packages of the "
            "page; pip install 'cbda_jax[annotate]'"
        ) from error
    app = create_app(desk, names=names, trusted=flags.trust_host)
    listening = _listen(flags.host, flags.port)
    stop = threading.Event()
    with listening:
        for line in _addresses(desk.ledger, flags, listening.getsockname()[1]):
            print(line, flush=True)
        # The server hands a signal on when it has ended; this program has then yet to tidy up.
        before = {
            number: signal.signal(number, lambda *_: None)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        watching = threading.Thread(target=desk.watch, args=(stop,), name="rounds", daemon=True)
        watching.start()
        try:
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,  # it would hold the tokens of the addresses
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=5,
            )
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            stop.set()
            watching.join(30)
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        # Who opens an address at once waits for the server, and is not turned away.
        listening.listen()
    except OSError as error:
        if listening is not None:
            listening.close()
        raise InputError(
            f"--host, --port: {host} {port} cannot be listened to ({error.strerror or error}), "
            "expected an address of this machine and a free port; choose another, or --port=0"
        ) from error
    return listening


def _addresses(ledger: Ledger, flags: argparse.Namespace, port: int) -> Iterator[str]:
    """What to tell people: an address for each."""
    name = flags.host
    scheme, at = "http", f":{port}"
    if flags.trust_host:
        name = flags.trust_host[0]
        # Seen from this machine alone, so that a reverse proxy is in front.
        if _is_loopback(flags.host):
            scheme, at = "https", ""
    name = f"[{name}]" if ":" in name else name
    base = f"{scheme}://{name}{at}/"
    people = dict.fromkeys(flags.person)
    if not people and not ledger.people():
        people = {_user(): None}
    for person in people:
        yield f"{person}: {base}?token={ledger.add_person(person)}"
    others = [person for person in ledger.people() if person not in people]
    if others:
        yield f"{base} goes on for {', '.join(others)} with the addresses they have"
    if not _is_loopback(flags.host):
        yield "note: nothing is encrypted between people and this server; see docs/annotation.md"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no user of this number is known
        return "me"


if __name__ == "__main__":
    sys.exit(main())
