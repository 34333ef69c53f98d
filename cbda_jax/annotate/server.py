"""What the page asks the server for, over HTTP: queries, pictures, and where events go."""

import functools
import json
import math
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from importlib import resources
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from cbda_jax.annotate import pages
from cbda_jax.annotate.desk import Desk
from cbda_jax.annotate.guard import Guard, Rate
from cbda_jax.annotate.pictures import VIEWS, window
from cbda_jax.annotation import UNANSWERED
from cbda_jax.annotation.people import Event, Round, Task
from cbda_jax.annotation.people.events import problem
from cbda_jax.errors import InputError

AHEAD = 5
"""Queries whose pictures a page fetches before they are shown."""

_COOKIE_DAYS = 30
_ID = re.compile("[0-9a-f]{32}")
_LONGEST = 86_400.0  # seconds for an answer; more was a page left open
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PAGES = {"/": "page.html", "/summary": "summary.html"}
_STATIC = ("page.css", "page.js", "pictures.js", "summary.js", "icon.svg")


class Refused(Exception):  # noqa: N818 - an answer, which the page shows
    """A request that is answered with a status and one line.

    Attributes:
        status: of HTTP.
        headers: beside the usual ones.
    """

    def __init__(self, status: int, line: str, headers: Mapping[str, str] | None = None):
        super().__init__(line)
        self.status = status
        self.headers = headers


def create_app(
    desk: Desk,
    *,
    names: Collection[str],
    trusted: Collection[str] = (),
    rate: tuple[float | int, int] = (30, 300),
    strangers: tuple[float | int, int] = (5, 50),
) -> Starlette:
    """The application that serves a desk.

    Args:
        desk: the round that is open, its pictures and its people.
        names: host names and addresses that the server goes by; see `Guard`.
        trusted: as there.
        rate: requests a second that each person may make in the long run, and at once.
        strangers: the same of each address that shows no token that is known.
    """
    server = _Server(desk, Rate(*rate), Rate(*strangers))
    pages_of_people = [Route(path, server.page, methods=["GET"]) for path in _PAGES]
    return Starlette(
        routes=[
            *pages_of_people,
            *(Route(f"/{name}", _static, methods=["GET"]) for name in _STATIC),
            Route("/api/round", server.of_person(server.about_round), methods=["GET"]),
            Route("/api/next", server.of_person(server.next_task), methods=["POST"]),
            Route("/api/event", server.of_person(server.record), methods=["POST"]),
            Route("/api/task/{query:int}", server.of_person(server.task), methods=["GET"]),
            Route("/api/history", server.of_person(server.history), methods=["GET"]),
            Route("/api/progress", server.of_person(server.progress), methods=["GET"]),
            Route("/api/summary", server.of_person(server.summary), methods=["GET"]),
            Route("/api/close", server.of_person(server.close), methods=["POST"]),
            Route("/image/{query:int}.jpg", server.of_person(server.image), methods=["GET"]),
        ],
        middleware=[Middleware(Guard, names=names, trusted=trusted)],
        exception_handlers={Refused: _say, InputError: _say, 404: _say, 405: _say},
    )


Handler = Callable[[Request, str, dict[str, Any]], Response | dict[str, Any]]
"""Of a request, the person who asks and the JSON that was sent."""


class _Server:
    """The handlers. They run in threads, as the ledger waits for the disk.

    Args:
        desk: as above.
        rate: of each person.
        strangers: of each address that shows no token that is known.
    """

    def __init__(self, desk: Desk, rate: Rate, strangers: Rate):
        self._desk = desk
        self._rate = rate
        self._strangers = strangers

    # ------------------------------------------------------------------ who asks

    def of_person(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A handler that only people with a token reach."""

        @functools.wraps(handler)
        async def handle(request: Request) -> Response:
            # Small enough: `Guard` has seen to it.
            sent = _json(await request.body()) if request.method == "POST" else {}

            def answer() -> Response:
                found = handler(request, self._person(request), sent)
                return found if isinstance(found, Response) else JSONResponse(found)

            return await run_in_threadpool(answer)

        return handle

    def _person(self, request: Request) -> str:
        """Who asks, by the cookie.

        Raises:
            Refused: nobody who is known, or too often.
        """
        person = self._desk.ledger.person_of(request.cookies.get(self._desk.cookie, ""))
        if person is None:
            self._count(self._strangers, _address(request))
            raise Refused(401, "not open to you; open the address that you were given")
        self._count(self._rate, person)
        return person

    @staticmethod
    def _count(rate: Rate, who: str) -> None:
        wait = rate.wait(who)
        if wait > 0:
            after = {"Retry-After": str(math.ceil(wait))}
            raise Refused(429, "too many requests; wait a moment", after)

    async def page(self, request: Request) -> Response:
        """A page; a token in the address becomes a cookie, and is gone from the address."""
        token = request.query_params.get("token")
        if token is not None:
            return await run_in_threadpool(self._enter, request, token)
        try:
            await run_in_threadpool(self._person, request)
        except Refused as refused:
            content = pages.stranger(str(refused))
            return Response(content, refused.status, refused.headers, _TYPES["html"])
        return _file(_PAGES[request.url.path])

    def _enter(self, request: Request, token: str) -> Response:
        if self._desk.ledger.person_of(token) is None:
            self._count(self._strangers, _address(request))
            content = pages.stranger("this address is no longer valid; ask for a new one")
            return Response(content, 401, media_type=_TYPES["html"])
        path = request.url.path
        response: Response = RedirectResponse(path, 303)
        if request.headers.get("sec-fetch-site") == "cross-site":
            response = Response(pages.forward(path), media_type=_TYPES["html"])
        response.set_cookie(
            self._desk.cookie,
            token,
            max_age=_COOKIE_DAYS * 86_400,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    # ------------------------------------------------------------------- queries

    def _round(self) -> Round:
        round_ = self._desk.round
        if round_ is None or round_.closed:
            raise Refused(409, "no round is open; the next one appears here by itself")
        return round_

    def about_round(self, request: Request, person: str, sent: Any) -> dict[str, Any]:
        """What stays the same while a round is open."""
        del request, sent
        space, round_ = self._desk.space, self._desk.round
        keys = pages.keys(space.num_classes)
        colours = space.palette.tolist()
        classes = [
            {"name": name, "colour": f"#{bytes(colour).hex()}", "key": key}
            for name, colour, key in zip(space.classes, colours, keys, strict=True)
        ]
        found: dict[str, Any] = {"person": person, "classes": classes, "round": None}
        found["run"] = self._desk.cookie
        if round_ is None or round_.closed:
            return found
        queries = round_.queries
        return found | {
            "round": queries.round,
            "radius": queries.radius,
            "total": len(queries),
            "checksum": queries.checksum,
        }

    def next_task(self, request: Request, person: str, sent: Any) -> dict[str, Any]:
        """The next query of a person."""
        del request, sent
        return self._standing(self._round(), person)

    def record(self, request: Request, person: str, sent: Any) -> dict[str, Any]:
        """Keeps an event; the same once more does nothing, and is answered alike."""
        del request
        round_ = self._round()
        queries = round_.queries
        # What a browser kept may be of a round that was closed by then.
        if sent.get("queries", queries.checksum) != queries.checksum:
            raise Refused(409, f"of another round; round {queries.round} is open")
        query = _whole(sent, "query", 0, len(queries) - 1)
        kind, event_id = sent.get("kind"), sent.get("id")
        if kind not in ("answer", "skip", "undo"):
            raise InputError(f"kind: {kind!r} found, expected answer, skip or undo")
        if not isinstance(event_id, str) or not _ID.fullmatch(event_id):
            raise InputError("id: expected 32 hexadecimal digits, made by the page")
        patch = self._patch(round_, query, sent.get("patch")) if kind == "answer" else b""
        shown = sent.get("guess_shown") is True
        event = Event(
            id=event_id,
            kind=kind,
            query=query,
            person=person,
            patch=patch,
            guess=int(queries.predicted[query]),
            guess_shown=shown and round_.task(query, person).guess is not None,
            seconds=_seconds(sent.get("seconds")),
            time=time.time(),
        )
        side, classes = 2 * queries.radius + 1, self._desk.space.num_classes
        wrong = problem(event, len(queries), side, classes)
        if wrong is not None:
            raise InputError(f"round {queries.round}: {wrong}")
        try:
            new = round_.record(event)
        except InputError as error:
            # Nothing is wrong with it: a page keeps what cannot be written now, and tries again.
            raise Refused(409 if round_.closed else 503, str(error)) from error
        self._desk.noticed()
        return {"saved": True, "new": new, **self._standing(round_, person)}

    def task(self, request: Request, person: str, sent: Any) -> dict[str, Any]:
        """A query that a person goes back to."""
        del sent
        round_ = self._round()
        return self._shown(round_.task(self._query(request, round_), person))

    def _query(self, request: Request, round_: Round) -> int:
        query = request.path_params["query"]
        if query >= len(round_.queries):
            raise Refused(404, f"query {query} found, expected 0 to {len(round_.queries) - 1}")
        return query

    def history(self, request: Request, person: str, sent: Any) -> dict[str, Any]:
        """What a person answered or skipped, latest first."""
        del request, sent
        return {"queries": self._round().history(person)}

    def _standing(self, round_: Round, person: str) -> dict[str, Any]:
        """Where a person stands: the next query, those that are likely to follow, and how far."""
        now = time.time()
        task = round_.next(person, now=now)
        ahead = round_.upcoming(person, AHEAD + 1, now=now)
        following = [query for query in ahead if task is None or query != task.query][:AHEAD]
        return {
            "done": task is None,
            "complete": task is None and round_.complete(),
            "next": None if task is None else self._shown(task),
            "upcoming": [self._shown(round_.task(query, person)) for query in following],
            "progress": pages.progress(round_.progress(person)),
        }

    def _shown(self, task: Task) -> dict[str, Any]:
        height, width = self._desk.pictures.sizes[task.image_id]
        place = task.row, task.col, task.radius, (height, width)
        return {
            "query": task.query,
            "image": task.image_id,
            "row": task.row,
            "col": task.col,
            "radius": task.radius,
            "height": height,
            "width": width,
            "guess": task.guess,
            "answer": None if task.answer is None else list(task.answer),
            "views": {view: list(window(view, *place)) for view in VIEWS},
        }

    def _patch(self, round_: Round, query: int, sent: Any) -> bytes:
        """The square of an answer; what lies outside of the image is never answered."""
        queries = round_.queries
        side = 2 * queries.radius + 1
        whole = isinstance(sent, list) and all(type(v) is int and 0 <= v <= 255 for v in sent)
        if not whole or len(sent) != side * side:
            raise InputError(f"patch: expected a list of {side * side} whole numbers, 0 to 255")
        patch = np.array(sent, np.uint8).reshape(side, side)
        image_id = queries.image_ids[queries.image[query]]
        around = np.arange(-queries.radius, queries.radius + 1)
        height, width = self._desk.pictures.sizes[image_id]
        row, col = queries.row[query] + around, queries.col[query] + around
        inside = ((row >= 0) & (row < height))[:, None] & (col >= 0) & (col < width)
        patch[~inside] = UNANSWERED
        if (patch == UNANSWERED).all():
            raise InputError("patch: nothing answered found, expected a class or void somewhere")
        return patch.tobytes()

    # ------------------------------------------------------------------ the rest

    def image(self, request: Request, person: str, sent: Any) -> Response:
        """A picture of a query; it is the same for as long as the round is."""
        del person, sent
        round_ = self._round()
        queries = round_.queries
        query = self._query(request, round_)
        place = int(queries.row[query]), int(queries.col[query]), queries.radius
        image_id = queries.image_ids[queries.image[query]]
        view = request.query_params.get("view", VIEWS[0])
        drawn = self._desk.pictures.draw(view, image_id, *place)
        return Response(drawn, headers={"Cache-Control": "private, max-age=3600"}, media_type=_JPEG)

    def progress(self, request: Request, person: str, sent: Any) -> dict[str, Any]:
        """How far a person is, and the round."""
        del request, sent
        return pages.progress(self._round().progress(person))

    def summary(self, request: Request, person: str, sent: Any) -> dict[str, Any]:
        """How far all are, how fast, and how well they agree."""
        del request, sent
        round_ = self._desk.round
        found = {"person": person, "classes": list(self._desk.space.classes), "round": None}
        if round_ is None:
            return found
        return found | pages.summary(round_, self._desk.ledger.people())

    def close(self, request: Request, person: str, sent: Any) -> dict[str, Any]:
        """Closes the round: nothing more is taken, and the run goes on with what there is."""
        del request
        round_ = self._round()
        number = _whole(sent, "round", 1, 2**31)
        if number != round_.queries.round:
            raise Refused(409, f"round {number} is not open")
        self._desk.close_round(person)
        return {"closed": True}


_JPEG = "image/jpeg"


async def _static(request: Request) -> Response:
    return _file(request.url.path[1:])


def _file(name: str) -> Response:
    content = resources.files("cbda_jax.annotate").joinpath("static", name).read_bytes()
    # Looked for again each time: a server of another version may be next at this address.
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(content, headers={"Cache-Control": "no-cache"}, media_type=kind)


def _say(request: Request, error: Exception) -> Response:
    del request
    status = getattr(error, "status", getattr(error, "status_code", 400))
    line = str(getattr(error, "detail", error))
    return JSONResponse({"error": line}, status, headers=getattr(error, "headers", None))


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InputError("body: not valid JSON found, expected an object") from error
    if not isinstance(found, dict):
        raise InputError(f"body: a {type(found).__name__} found, expected an object")
    return found


def _whole(sent: dict[str, Any], name: str, least: int, most: int) -> int:
    value = sent.get(name)
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"{name}: {value!r:.40} found, expected a whole number, {least} to {most}")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise InputError(f"seconds: {value!r:.40} found, expected 0 or more")
    return min(float(value), _LONGEST)
