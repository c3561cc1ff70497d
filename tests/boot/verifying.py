"""`imgkit verify`, its answer held to its schema, and the image to its bytes."""

from tests.cli.command import imgkit
from tests.cli.test_json import check
from tests.support.disks import sha256


def verify(image, *words):
    before = sha256(image), image.stat().st_mtime_ns
    # It ends by itself, after its own retry_policy of five minutes; killed, it would leave its machine.
    done = imgkit("verify", image, "--json", *words, timeout=800)
    assert done.status in (0, 1), done.stderr
    assert (sha256(image), image.stat().st_mtime_ns) == before
    document = done.json
    check(dict(document), "verify/1", whole=False)
    assert document["passed"] is (done.status == 0)
    assert bool(document["explanation"]) is bool(document["remedy"]) is (not document["passed"])
    return document


def broken(found):
    """The kinds of the links that do not hold, by the image's files."""
    return {link["kind"] for link in found["console"]["links"] if not link["ok"]}
