"""Images in an S3 store, through the commands: read there, written there, and what the store is asked for."""

import os
import signal
import subprocess
import time

import pytest

from imgkit.units import MIB
from tests.cli.command import environment, imgkit, script
from tests.support import oracle
from tests.support.disks import sha256
from tests.support.images import fixture, private_copy
from tests.support.s3store import serving_s3

ENABLE = ("console", "enable")
WHEN = {"SOURCE_DATE_EPOCH": "1700000000"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving_s3(tmp_path_factory.mktemp("store")) as store:
        (store.folder / "in").mkdir()
        for name in ("iso-debian", "small-qcow2"):
            private_copy(name, store.folder / "in")
        yield store


@pytest.fixture
def store(running):
    """The store, with an ISO and a disk in it, and nothing else."""
    for path in running.folder.rglob("*"):
        if path.is_file() and path.name not in ("iso-debian.iso", "small-qcow2.qcow2"):
            path.unlink()
    running.forget()
    return running


def run(store, *words, env=WHEN, **options):
    return imgkit(*words, env=store.env | env, **options)


def locally(folder, source, *words):
    assert imgkit(*words, source, "-o", folder / "local", env=WHEN).status == 0
    return sha256(folder / "local")


ISO = "s3://images/in/iso-debian.iso"
INPUTS = ["in/iso-debian.iso", "in/small-qcow2.qcow2"]
DISK = "s3://images/in/small-qcow2.qcow2"


def test_a_large_iso_is_copied_in_the_store_and_little_travels(store, tmp_path):
    source = private_copy("iso-debian-400", store.folder)
    # Another default would take a look through the initial RAM disks, which are read as a whole.
    keep = (*ENABLE, "--default", "keep")
    done = run(store, *keep, f"s3://images/{source.name}", "-o", "s3://images/out/large.iso")
    assert done.status in (0, 15), done.stderr
    assert "written to s3://images/out/large.iso\n" in done.stderr
    assert sha256(store.folder / "out" / "large.iso") == locally(tmp_path, source, *keep)
    assert store.moved <= 20 * MIB
    copies = [request for request in store.requests if request.kind == "UploadPartCopy"]
    assert all("x-amz-copy-source-if-match" in request.headers for request in copies)
    final = [request for request in store.requests if request.kind == "CompleteMultipartUpload"][-1]
    assert final.headers["if-none-match"] == "*"
    assert store.objects() == [*INPUTS, "iso-debian-400.iso", "out/large.iso"]


@pytest.mark.parametrize(("url", "name"), [(ISO, "iso-debian"), (DISK, "small-qcow2")])
def test_the_same_bytes_come_by_every_way(store, tmp_path, url, name):
    expected = locally(tmp_path, fixture(name), *ENABLE)
    ways = [(url, "s3://images/there"), (fixture(name), "s3://images/up"), (url, tmp_path / "down")]
    for source, target in ways:
        done = run(store, *ENABLE, source, "-o", target)
        assert done.status == 0, done.stderr
    assert {sha256(path) for path in (store.folder / "there", store.folder / "up", tmp_path / "down")} == {expected}


def test_files_are_read_written_and_added(store, tmp_path):
    (tmp_path / "motd").write_text("hello\n")
    written = run(store, "write", DISK, "/etc/motd", tmp_path / "motd", "-o", "s3://images/out/motd.qcow2")
    assert written.status == 0, written.stderr
    assert run(store, "cat", "s3://images/out/motd.qcow2", "/etc/motd").text == "hello\n"
    oracle.run("qemu-img", "check", store.folder / "out" / "motd.qcow2")
    added = run(store, "iso", "add", ISO, tmp_path / "motd", "/", "-o", "s3://images/out/added.iso", "--json")
    assert added.status == 0, added.stderr
    assert (added.json["image"], added.json["output"]) == (ISO, "s3://images/out/added.iso")
    listed = run(store, "ls", "s3://images/out/added.iso", "/")
    assert "motd" in listed.text.split()


def test_what_exists_is_replaced_only_by_force(store):
    taken = store.folder / "taken.iso"
    taken.write_bytes(b"precious")
    words = (*ENABLE, ISO, "-o", "s3://images/taken.iso")
    refused = run(store, *words)
    assert refused.status == 8
    assert "exists" in refused.stderr
    assert "CreateMultipartUpload" not in store.kinds()
    assert taken.read_bytes() == b"precious"
    assert run(store, *words, "--force").status == 0
    assert taken.stat().st_size == fixture("iso-debian").stat().st_size


def test_what_appears_meanwhile_is_not_replaced(store):
    taken = store.folder / "taken.iso"

    def answer(request):
        if request.kind == "CompleteMultipartUpload" and "/taken.iso?" in request.path:
            taken.write_bytes(b"precious")

    store.answer = answer
    refused = run(store, *ENABLE, ISO, "-o", "s3://images/taken.iso")
    assert refused.status == 8
    assert "exists" in refused.stderr
    assert taken.read_bytes() == b"precious"
    assert store.objects() == [*INPUTS, "taken.iso"]


@pytest.mark.parametrize("kind", ["UploadPart", "UploadPartCopy", "GET"])
def test_an_image_that_is_replaced_meanwhile_leaves_nothing(store, tmp_path, kind):
    source = private_copy("iso-debian", tmp_path).rename(store.folder / "changing.iso")
    count = 0

    def answer(request):
        nonlocal count
        count += request.kind == kind
        if request.kind == kind and count == 2:
            with source.open("r+b") as file:
                file.truncate(source.stat().st_size - 2048)

    store.answer = answer
    done = run(store, *ENABLE, "s3://images/changing.iso", "-o", "s3://images/out.iso")
    assert count >= 2
    assert done.status == 7, done.stderr
    assert "replaced" in done.stderr
    assert "out.iso" not in " ".join(store.objects())


@pytest.mark.parametrize("kind", ["CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload"])
@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (500, "InternalError", "InternalError"),
        (0, "", "closed the connection"),
        (200, "Odd", "cannot be written"),
        (412, "", ""),
    ],
)
def test_whatever_fails_leaves_nothing(store, kind, status, code, says):
    before = store.objects()
    store.answer = lambda request: (status, code) if request.kind == kind else None
    done = run(store, *ENABLE, ISO, "-o", "s3://images/out.iso")
    assert done.status in ((7, 8) if status == 412 else (8,)), done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert store.objects() == before


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [200, 206, 304, 404, 412, 416, 503])
def test_odd_answers_are_refused(store, method, status):
    store.answer = lambda request: (status, "") if request.method == method else None
    done = run(store, "ls", ISO, "/")
    assert done.status in (3, 7), done.stderr
    assert "Traceback" not in done.stderr


def test_an_answer_that_is_lost_does_not_matter(store):
    """A request is sent again, and meets with what the one before it did."""
    lost = set()

    def answer(request):
        if request.kind in {"UploadPart", "UploadPartCopy", "GET"} and request.kind not in lost:
            lost.add(request.kind)
            return 0, ""
        return None

    store.answer = answer
    done = run(store, *ENABLE, ISO, "-o", "s3://images/out.iso")
    assert done.status == 0, done.stderr
    assert len(lost) == 3


def test_a_store_that_cannot_copy_parts_gets_all_of_it(store, tmp_path):
    store.answer = lambda request: (501, "NotImplemented") if request.kind == "UploadPartCopy" else None
    done = run(store, *ENABLE, ISO, "-o", "s3://images/out.iso")
    assert done.status == 0, done.stderr
    assert sha256(store.folder / "out.iso") == locally(tmp_path, fixture("iso-debian"), *ENABLE)
    assert store.objects() == [*INPUTS, "out.iso"]


def test_the_last_answer_may_be_lost_too(store):
    store.loses = lambda request: request.kind == "CompleteMultipartUpload" and "/out.iso?" in request.path
    done = run(store, *ENABLE, ISO, "-o", "s3://images/out.iso")
    assert done.status == 0, done.stderr
    assert store.objects() == [*INPUTS, "out.iso"]


def test_ctrl_c_aborts_the_upload(store):
    before = store.objects()
    words = [script(), *ENABLE, ISO, "-o", "s3://images/out.iso"]
    store.answer = lambda request: time.sleep(0.3) if request.kind.startswith("UploadPart") else None
    running = subprocess.Popen(words, stderr=subprocess.PIPE, env=environment(**store.env))
    while "UploadPart" not in store.kinds():
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert store.objects() == before


@pytest.mark.parametrize(
    ("source", "target", "status", "says", "hint"),
    [
        ("s3://images/none.iso", "s3://images/out.iso", 3, "no such object", "aws s3 ls"),
        ("s3://nobucket/a.iso", "s3://images/out.iso", 3, "no such bucket", "AWS_ENDPOINT_URL"),
        (ISO, "s3://nobucket/a.iso", 8, "no such bucket", "AWS_ENDPOINT_URL"),
        (ISO, ISO, 8, "output is the input", "another output"),
        (ISO, "s3://images/folder/", 3, "names no object", "s3://BUCKET/KEY"),
        (ISO, "s3://images", 3, "names no object", "s3://BUCKET/KEY"),
        (ISO, "https://127.0.0.1/a.iso", 8, "writing is not supported over https", "s3://"),
    ],
)
def test_refusals(store, source, target, status, says, hint):
    done = run(store, *ENABLE, source, "-o", target)
    assert done.status == status, done.stderr
    assert says in done.stderr
    assert hint in done.stderr
    assert store.objects() == INPUTS


def test_in_place_and_undo_files_are_refused(store):
    assert run(store, *ENABLE, ISO, "--in-place").status == 8
    refused = run(store, *ENABLE, ISO, "-o", "s3://images/out.iso", "--undo", "u")
    assert refused.status == 2
    assert "deleting the new image undoes the edit" in refused.stderr


@pytest.mark.parametrize(
    ("code", "says", "hint"),
    [
        ("AccessDenied", "does not allow", "AWS_PROFILE"),
        ("InvalidAccessKeyId", "does not know the access key", "AWS_ACCESS_KEY_ID"),
        ("ExpiredToken", "has expired", "Log in again"),
    ],
)
def test_what_the_store_refuses_is_told_with_the_way_out(store, code, says, hint):
    store.answer = lambda request: (403, code) if request.kind == "CreateMultipartUpload" else None
    done = run(store, *ENABLE, ISO, "-o", "s3://images/out.iso")
    assert done.status == 8
    assert says in done.stderr
    assert hint in done.stderr
    store.answer = lambda _: (403, code)
    assert run(store, *ENABLE, ISO, "-o", "s3://images/out.iso").status == 8
    assert run(store, "ls", ISO, "/").status == 3


def test_no_credentials_and_no_store(store, tmp_path):
    nobody = {name: "" for name in store.env if "KEY" in name} | {"HOME": str(tmp_path)}
    told = run(store, "ls", ISO, "/", env={**nobody, "AWS_EC2_METADATA_DISABLED": "true"})
    assert told.status == 3, told.stderr
    assert "no credentials" in told.stderr
    assert "AWS_PROFILE" in told.stderr
    gone = run(store, "ls", ISO, "/", env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert gone.status == 3
    assert "cannot be reached" in gone.stderr
    assert "AWS_ENDPOINT_URL" in gone.stderr
