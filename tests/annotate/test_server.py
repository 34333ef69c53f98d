import html
import io
import itertools

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from cbda_jax.annotate.server import AHEAD, create_app
from cbda_jax.annotation.people import ledger as ledgers

BASE = "http://127.0.0.1:8800"
_numbers = itertools.count()


def enter(app, desk, name):
    """A browser of a person who has opened their address."""
    client = TestClient(app, base_url=BASE)
    token = desk.ledger.add_person(name)
    assert client.get(f"/?token={token}").url == f"{BASE}/"
    return client


@pytest.fixture
def opened(make_desk):
    """`opened(radius, **of_the_app)`: a desk, its application, and Ada's browser."""

    def make(radius=0, **named):
        desk = make_desk(radius)
        app = create_app(desk, names={"127.0.0.1"}, **named)
        return desk, app, enter(app, desk, "Ada")

    return make


def event(query, patch=(1,), kind="answer", **named):
    about = {"id": f"{next(_numbers):032x}", "seconds": 1.5, "guess_shown": True}
    patch = list(patch) if kind == "answer" else None
    return {**about, "kind": kind, "query": query, "patch": patch, **named}


def kept(desk):
    """All events: kind, query, person and patch."""
    return [
        (found.kind, found.query, found.person, found.patch)
        for found in desk.ledger._store.events(1)
    ]


# ---------------------------------------------------------------------- who asks


def test_a_token_becomes_a_cookie(make_desk):
    desk = make_desk()
    app = create_app(desk, names={"127.0.0.1"})
    client = TestClient(app, base_url=BASE, follow_redirects=False)
    token = desk.ledger.add_person("Ada")
    found = client.get(f"/?token={token}")
    assert (found.status_code, found.headers["location"]) == (303, "/")
    cookie = found.headers["set-cookie"].lower()
    assert cookie.startswith(desk.cookie)
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    page = client.get("/")
    assert page.status_code == 200
    assert token not in page.text
    assert "/page.js" in page.text
    assert client.get("/api/round").json()["person"] == "Ada"
    # A new address, and the old one is no longer valid.
    desk.ledger.add_person("Ada")
    assert client.get("/api/round").status_code == 401
    assert client.get(f"/?token={token}").status_code == 401


def test_a_link_from_another_site(make_desk):
    """The browser sends a strict cookie only with the request after that."""
    desk = make_desk()
    client = TestClient(create_app(desk, names={"127.0.0.1"}), base_url=BASE)
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    found = client.get(f"/?token={desk.ledger.add_person('Ada')}", headers=link)
    assert found.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/"' in found.text
    assert client.get("/api/round").status_code == 200


def test_behind_a_proxy_with_https_the_cookie_is_secure(make_desk):
    desk = make_desk()
    app = create_app(desk, names={"127.0.0.1"}, trusted=["labels.example.org"])
    client = TestClient(app, base_url="https://labels.example.org", follow_redirects=False)
    found = client.get(f"/?token={desk.ledger.add_person('Ada')}")
    assert "secure" in found.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/", "/summary", "/api/round", "/api/history")),
        *(("GET", path) for path in ("/api/progress", "/api/summary", "/api/task/0")),
        *(("GET", path) for path in ("/image/0.jpg", "/image/0.jpg?view=whole", "/?token=x")),
        *(("POST", path) for path in ("/api/next", "/api/event", "/api/close")),
    ],
)
def test_nothing_without_a_token(opened, method, path):
    desk, app, _ = opened()
    stranger = TestClient(app, base_url=BASE)
    body = {"json": {}} if method == "POST" else {}
    assert stranger.request(method, path, **body).status_code == 401
    stranger.cookies.set(desk.cookie, "x" * 32)
    found = stranger.request(method, path, **body)
    assert found.status_code == 401
    assert "target_train" not in html.unescape(found.text)
    assert desk.round is not None


def test_guarded(opened):
    """Host, Origin, the kind of a body and the headers: see test_guard.py."""
    _, _, ada = opened()
    assert ada.get("/api/round", headers={"Host": "x.example.org"}).status_code == 421
    for origin, status in (("http://x.example.org", 403), ("http://127.0.0.1:8801", 403)):
        found = ada.post("/api/next", json={}, headers={"Origin": origin})
        assert found.status_code == status
    assert ada.post("/api/next", json={}, headers={"Origin": BASE}).status_code == 200
    assert ada.post("/api/next", content="{}").status_code == 415
    assert ada.post("/api/next", json={"x": "x" * 2**18}).status_code == 413
    for path in ("/", "/page.js", "/api/round", "/api/task/99", "/nothing", "/image/0.jpg"):
        found = ada.get(path).headers
        assert "default-src 'none'" in found["content-security-policy"]
        assert found["x-frame-options"] == "DENY"


def test_the_files_of_the_pages(opened):
    """Nothing stands within the pages that the policy would refuse; nothing else is given."""
    _, _, ada = opened()
    for path in ("/", "/summary"):
        page = ada.get(path).text
        assert "style=" not in page
        assert "onclick" not in page
        for name in (part.split('"')[1] for part in page.split(" src=")[1:]):
            assert "javascript" in ada.get(name).headers["content-type"]
    for path in ("/page.html", "/../server.py", "/static/page.js", "/%2e%2e/server.py", "/etc"):
        assert ada.get(path).status_code == 404
    assert ada.get("/api/next").status_code == 405
    assert ada.get("/nothing").json() == {"error": "Not Found"}


def test_rates(make_desk):
    desk = make_desk()
    slow = {"rate": (0.001, 5), "strangers": (0.001, 50)}
    app = create_app(desk, names={"127.0.0.1"}, **slow)
    ada, ben = enter(app, desk, "Ada"), enter(app, desk, "Ben")
    found = [ada.get("/api/progress").status_code for _ in range(8)]
    assert found == [200] * 4 + [429] * 4  # the page was the first
    late = ada.get("/api/progress")
    assert int(late.headers["retry-after"]) > 1
    assert late.json() == {"error": "too many requests; wait a moment"}
    assert ben.get("/api/progress").status_code == 200
    # Guesses of tokens are counted too, by address.
    stranger = TestClient(app, base_url=BASE)
    tries = [stranger.get(f"/?token={number}").status_code for number in range(60)]
    assert tries[:50] == [401] * 50
    assert tries[-1] == 429
    # And do not keep out who is known.
    assert ben.get("/api/progress").status_code == 200


# ---------------------------------------------------------------------- answers


def test_a_round(opened):
    desk, _, ada = opened()
    about = ada.get("/api/round").json()
    assert (about["round"], about["radius"], about["total"]) == (1, 0, 12)
    assert about["classes"][:2] == [
        {"name": "road", "colour": "#804080", "key": "1"},
        {"name": "sidewalk", "colour": "#f423e8", "key": "2"},
    ]
    given, hidden, found = [], 0, ada.post("/api/next", json={}).json()
    while not found["done"]:
        task = found["next"]
        assert task == ada.get(f"/api/task/{task['query']}").json()
        queries, query = desk.round.queries, task["query"]
        assert (task["row"], task["col"]) == (queries.row[query], queries.col[query])
        assert task["image"] == queries.image_ids[queries.image[query]]
        assert task["answer"] is None
        assert len(found["upcoming"]) == min(AHEAD, 11 - len(given))
        hidden += task["guess"] is None
        given.append(query)
        found = ada.post("/api/event", json=event(query, [query % 3])).json()
        assert (found["saved"], found["new"]) == (True, True)
        assert found["progress"]["answered"] == len(given)
    assert given == list(range(12))
    assert found["complete"]
    assert hidden == 2
    assert kept(desk) == [("answer", query, "Ada", bytes([query % 3])) for query in range(12)]
    shown = [found.guess_shown for found in desk.ledger._store.events(1)]
    assert shown.count(False) == hidden  # whatever the page says
    assert ada.get("/api/history").json() == {"queries": given[::-1]}
    assert ada.get("/api/task/3").json()["answer"] == [0]
    undone = ada.post("/api/event", json=event(11, kind="undo")).json()
    assert (undone["next"]["query"], undone["progress"]["answered"]) == (11, 11)


def test_two_people_never_have_the_same_query(opened):
    desk, app, ada = opened()
    ben = enter(app, desk, "Ben")
    tasks = [person.post("/api/next", json={}).json()["next"]["query"] for person in (ada, ben)]
    assert tasks == [0, 1]
    skipped = ada.post("/api/event", json=event(0, kind="skip")).json()
    assert skipped["next"]["query"] == 2
    assert ben.post("/api/event", json=event(1)).json()["next"]["query"] == 0


def test_the_same_event_once_more_does_nothing(opened):
    desk, _, ada = opened()
    one = event(0, [4])
    first, second = (ada.post("/api/event", json=one).json() for _ in range(2))
    assert (first.pop("new"), second.pop("new")) == (True, False)
    assert first == second
    # Nor does another one of that id.
    assert not ada.post("/api/event", json={**event(1, [5]), "id": one["id"]}).json()["new"]
    assert kept(desk) == [("answer", 0, "Ada", b"\4")]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"query": 12}, "query: 12 found, expected a whole number, 0 to 11"),
        ({"query": -1}, "query: -1 found"),
        ({"query": True}, "query: True found"),
        ({"query": "0"}, "query: '0' found"),
        ({"kind": "delete"}, "kind: 'delete' found, expected answer, skip or undo"),
        ({"id": "1"}, "id: expected 32 hexadecimal digits"),
        ({"id": None}, "id: expected 32 hexadecimal digits"),
        ({"patch": []}, "patch: expected a list of 1 whole numbers, 0 to 255"),
        ({"patch": [1, 1]}, "patch: expected a list of 1 whole"),
        ({"patch": [256]}, "patch: expected a list of 1 whole"),
        ({"patch": [1.5]}, "patch: expected a list of 1 whole"),
        ({"patch": "1"}, "patch: expected a list of 1 whole"),
        ({"patch": [254]}, "patch: nothing answered found"),
        ({"patch": [19]}, "round 1: "),
        ({"seconds": -1}, "seconds: -1 found, expected 0 or more"),
        ({"seconds": "1"}, "seconds: '1' found"),
        ({"seconds": None}, "seconds: None found"),
    ],
)
def test_events_that_cannot_be(opened, change, problem):
    desk, _, ada = opened()
    found = ada.post("/api/event", json={**event(0), **change})
    assert found.status_code == 400
    assert found.json()["error"].startswith(problem)
    assert kept(desk) == []


def test_bodies_that_are_no_json(opened):
    desk, _, ada = opened()
    for content in (b"{", b"[]", b"\xff", b"[" * 100_000, b'{"seconds": NaN}'):
        found = ada.post(
            "/api/event", content=content, headers={"Content-Type": "application/json"}
        )
        assert found.status_code == 400
    assert kept(desk) == []
    late = {**event(0), "seconds": 1e9}
    assert ada.post("/api/event", json=late).status_code == 200
    assert next(iter(desk.ledger._store.events(1))).seconds == 86_400


def test_what_lies_outside_of_the_image_is_not_answered(opened):
    desk, _, ada = opened(radius=1)
    queries = desk.round.queries
    assert (queries.row[0], queries.col[0]) == (0, 0)
    ada.post("/api/event", json=event(0, [3] * 9))
    patch = np.frombuffer(kept(desk)[0][3], np.uint8).reshape(3, 3)
    np.testing.assert_array_equal(patch, [[254] * 3, [254, 3, 3], [254, 3, 3]])
    outside = [3, 3, 3, 3, 254, 254, 3, 254, 254]
    assert ada.post("/api/event", json=event(0, outside)).status_code == 400


def test_an_event_of_another_round(opened):
    desk, _, ada = opened()
    found = ada.post("/api/event", json={**event(0), "queries": "0" * 64})
    assert found.status_code == 409
    assert found.json() == {"error": "of another round; round 1 is open"}
    same = {**event(0), "queries": desk.round.queries.checksum}
    assert ada.post("/api/event", json=same).status_code == 200


def test_a_disk_that_is_full(opened, monkeypatch):
    desk, _, ada = opened()

    def full(*_):
        raise ledgers.InputError("ledger.sqlite: no space left")

    with monkeypatch.context() as patch:
        patch.setattr(desk.ledger._store, "add_events", full)
        found = ada.post("/api/event", json=event(0))
    assert found.status_code >= 500, "a page would throw the answer away"
    assert kept(desk) == []


# --------------------------------------------------------------------- the rest


def test_images_by_number_only(opened):
    desk, _, ada = opened()
    for view in ("crop", "around", "whole"):
        found = ada.get(f"/image/3.jpg?view={view}")
        assert found.headers["content-type"] == "image/jpeg"
        assert found.headers["cache-control"] == "private, max-age=3600"
        assert Image.open(io.BytesIO(found.content)).size[0] >= 96
    assert ada.get("/image/3.jpg").content == ada.get("/image/3.jpg?view=crop").content
    assert ada.get("/image/12.jpg").status_code == 404
    name = desk.round.queries.image_ids[0]
    for path in (f"/image/{name}.jpg", "/image/-1.jpg", "/image/../x.jpg", "/image/0.png"):
        assert ada.get(path).status_code == 404
    assert ada.get("/image/0.jpg?view=../../x").status_code == 400
    assert ada.get("/api/task/12").status_code == 404
    assert ada.get("/api/task/99999999999999999999").status_code == 404


def test_summary(opened):
    desk, app, ada = opened()
    enter(app, desk, "Ben").post("/api/event", json=event(0))
    found = ada.get("/api/summary").json()
    assert found["person"] == "Ada"
    assert found["people"] == [
        {"name": "Ada", "answers": 0, "seconds": None},
        {"name": "Ben", "answers": 1, "seconds": 1.5},
    ]
    assert found["progress"]["by_class"] == {"1": 1}
    assert found["agreement"] is None


def test_closing(opened):
    desk, _, ada = opened()
    queries = desk.round.queries
    ada.post("/api/event", json=event(0))
    for number, status in ((2, 409), (0, 400), ("1", 400), (None, 400)):
        assert ada.post("/api/close", json={"round": number}).status_code == status
    assert desk.round is not None
    assert ada.post("/api/close", json={"round": 1}).json() == {"closed": True}
    assert (desk._workdir / "answers" / f"round_{queries.round:02d}.npz").exists()
    for found in (
        *(ada.post("/api/event", json=event(1)), ada.post("/api/next", json={})),
        *(ada.get("/api/progress"), ada.get("/image/0.jpg"), ada.get("/api/task/0")),
        ada.post("/api/close", json={"round": 1}),
    ):
        assert found.status_code == 409
        assert found.json()["error"].startswith("no round is open")
    assert ada.get("/api/round").json()["round"] is None
    assert ada.get("/api/summary").json()["round"] is None
    assert len(kept(desk)) == 1
