"""Who may ask the server for what: names, origins, sizes, rates, and what browsers are told."""

import time
from collections import OrderedDict
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 2**18
"""Bytes of a request: an answer to a square of 200 x 200 pixels, and more than anybody sends."""

# Scripts, styles and pictures of this server alone, none within the page, in no frame of another.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_MOST_KEYS = 1024


class Guard:
    """Refuses what no page of this server asks for; sends the headers that keep browsers strict.

    * A `Host` of another name than the server's: a page elsewhere whose name was made to lead here
      (DNS rebinding).
    * An `Origin` of another page, another port included, or what a browser says it sends for
      another site: forged requests (CSRF). A POST has to be JSON, which no form can send.
    * A body that is too large, whether it says how large it is or not.

    Args:
        app: what answers the rest.
        names: host names and addresses that the server goes by.
        trusted: those of them that a reverse proxy goes by, at whatever port.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str], trusted: Collection[str] = ()):
        self._app = app
        self._trusted = {name.lower() for name in trusted}
        self._names = {name.lower() for name in names} | self._trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        refused = self._refused(headers, scope["method"])
        if refused is None:
            body = await _body(headers, receive) if scope["method"] == "POST" else b""
            if body is None:
                refused = 413, f"more than {LARGEST_BODY} bytes found, expected less"
            else:
                await self._app(scope, _again(body, receive), send_strictly)
                return
        status, problem = refused
        await JSONResponse({"error": problem}, status)(scope, receive, send_strictly)

    def _refused(self, headers: Headers, method: str) -> tuple[int, str] | None:
        """Status and message of what is refused by its head alone."""
        host = headers.get("host", "")
        if (_name(f"//{host}") or "") not in self._names:
            return 421, "unknown Host; open the address that the server printed, or --trust-host"
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(origin, host):
            return 403, "a request of another page"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            # A link from elsewhere may lead here, and nothing else.
            navigates = headers.get("sec-fetch-mode") == "navigate" and method == "GET"
            if not navigates:
                return 403, "a request of another site"
        if method == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return 415, f"{kind or 'no type'} found, expected application/json"
        return None

    def _is_ours(self, origin: str, host: str) -> bool:
        """Whether a page of this server sends it: the same name and port, or that of the proxy."""
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https"):
            return False
        return parts.netloc.lower() == host.lower() or _name(origin) in self._trusted


def _name(address: str) -> str | None:
    """The host name of an address, without its port; None if it is none."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


async def _body(headers: Headers, receive: Receive) -> bytes | None:
    """The whole body; None if it is too large, and then it is not read to its end."""
    said = headers.get("content-length", "0")
    if not said.isdecimal() or len(said) > 12 or int(said) > LARGEST_BODY:
        return None
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            return None
        parts.append(part)
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, and then what comes after it."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


class Rate:
    """How often somebody may ask: `burst` times at once, and then `per_second`.

    Args:
        per_second: in the long run.
        burst: at once, after a while of silence.
    """

    def __init__(self, per_second: float | int, burst: int):
        self._per_second = per_second
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, who: str, now: float | None = None) -> float:
        """Seconds until somebody may ask; 0: now, and then it is counted.

        Args:
            who: asks.
            now: seconds of any clock that does not go back; by default the system's.
        """
        now = time.monotonic() if now is None else now
        left, before = self._left.pop(who, (float(self._burst), now))
        left = min(left + (now - before) * self._per_second, float(self._burst))
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._left[who] = (left - 1 if wait == 0 else left), now
        # Of many addresses the one that was silent for longest is forgotten.
        while len(self._left) > _MOST_KEYS:
            self._left.popitem(last=False)
        return wait
