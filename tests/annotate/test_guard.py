import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from cbda_jax.annotate.guard import LARGEST_BODY, Guard, Rate

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client():
    async def size(request):
        return PlainTextResponse(str(len(await request.body())))

    app = Starlette(routes=[Route("/", size, methods=["GET", "POST"])])
    guarded = Guard(app, names={"127.0.0.1", "::1"}, trusted={"Labels.example.org"})
    return TestClient(guarded, base_url="http://127.0.0.1:8800")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8800", 200),
        ("127.0.0.1", 200),
        ("[::1]:8800", 200),
        ("labels.example.org", 200),
        ("LABELS.example.org:444", 200),
        ("elsewhere.example.org", 421),
        ("127.0.0.1.example.org", 421),
        ("elsewhere.example.org@127.0.0.1:x", 200),  # only the name is looked at
        ("[::1", 421),
        ("", 421),
    ],
)
def test_host(client, host, status):
    assert client.get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:8800"}, 200),
        ({"Origin": "http://127.0.0.1:8801"}, 403),  # another server of this machine
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "http://elsewhere.example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "file://127.0.0.1:8800"}, 403),
        ({"Origin": "https://labels.example.org"}, 200),  # the proxy may have any port
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
    ],
)
def test_origin(client, headers, status):
    found = client.post("/", content=b"{}", headers={**JSON, **headers})
    assert found.status_code == status


def test_a_link_from_elsewhere_may_lead_here(client):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    picture = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/", headers=picture).status_code == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_can_send_is_refused(client, kind):
    found = client.post("/", content=b"{}", headers={"Content-Type": kind})
    assert found.status_code == 415


def test_bodies(client):
    largest = client.post("/", content=b" " * LARGEST_BODY, headers=JSON)
    assert largest.text == str(LARGEST_BODY)
    assert client.post("/", content=b" " * (LARGEST_BODY + 1), headers=JSON).status_code == 413

    def parts():
        for _ in range(5):
            yield b" " * (LARGEST_BODY // 4)

    # It does not say how large it is.
    found = client.post("/", content=parts(), headers=JSON)
    assert found.status_code == 413
    assert found.json() == {"error": f"more than {LARGEST_BODY} bytes found, expected less"}
    for said in ("-1", "1e3", "9" * 13):
        found = client.post("/", content=b"", headers={**JSON, "Content-Length": said})
        assert found.status_code == 413


@pytest.mark.parametrize("host", ["127.0.0.1", "elsewhere.example.org"])
def test_headers_of_every_answer(client, host):
    found = client.get("/", headers={"Host": host}).headers
    policy = dict(
        part.strip().split(" ", 1) for part in found["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not any("unsafe" in part for part in policy.values())
    assert found["x-content-type-options"] == "nosniff"
    assert found["x-frame-options"] == "DENY"
    assert found["referrer-policy"] == "no-referrer"
    assert found["cache-control"] == "no-store"


def test_rate():
    rate = Rate(2, 3)
    assert [rate.wait("a", 10.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert rate.wait("b", 10.0) == 0
    assert rate.wait("a", 10.25) == 0.25
    assert rate.wait("a", 10.5) == 0
    # After a long silence no more than at first.
    assert [rate.wait("a", 1000.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_rates_of_many_take_little_memory():
    rate = Rate(1, 1)
    for number in range(3000):
        assert rate.wait(str(number), 0.0) == 0
    assert len(rate._left) == 1024
    assert rate.wait("2999", 0.0) == 1
