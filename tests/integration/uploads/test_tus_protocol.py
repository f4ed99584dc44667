"""
tus 1.0, requirement by requirement, spoken by hand to a real gunicorn.

The quoted sentences are the specification's: https://tus.io/protocols/resumable-upload
"""

import base64
import hashlib
import json
import os
import time
import uuid
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.uploading import TYPE, Answer, Client, encoded, receive_answer

MIB = 1 << 20
ENVIRONMENT = {"UPLOAD_MAX_BYTES": str(100 * MIB), "UPLOAD_SEGMENT_BYTES": str(MIB), "UPLOAD_YIELD_SECONDS": "3"}


def problem(answer: Answer) -> str:
    """The code of a problem, which every refusal is."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    found = json.loads(answer.body)
    assert found["status"] == answer.status
    assert found["title"]
    return str(found["code"])


def fields(answer: Answer) -> list[str]:
    """Which headers or keys a 400 complains of."""
    assert problem(answer) == "invalid"
    return [error["field"] for error in json.loads(answer.body)["errors"]]


class TestVersion:
    """ "The Tus-Resumable header MUST be included in every request and response except for OPTIONS requests." """

    @pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1", ""])
    @pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
    def test_another_version_is_refused(self, client: Client, method: str, version: str | None) -> None:
        """ "it MUST respond with the 412 status and MUST include the Tus-Version header ... MUST NOT process." """
        path = client.create(10)
        target = "/uploads" if method == "POST" else path
        answer = client.send(method, target, Tus_Resumable=version, Upload_Length=10 if method == "POST" else None)
        assert (answer.status, answer.headers["tus-version"]) == (412, "1.0.0")
        assert client.head(path).status == 200

    @pytest.mark.parametrize("path", ["/uploads", "/uploads/anything"])
    def test_options_tell_what_the_server_can(self, client: Client, path: str) -> None:
        answer = client.send("OPTIONS", path, Tus_Resumable=None, Authorization=None)
        assert answer.status == 204
        assert answer.headers["tus-version"] == "1.0.0"
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert answer.headers["tus-max-size"] == str(100 * MIB)
        assert answer.headers["tus-checksum-algorithm"] == "sha1,md5,sha256,crc32"
        assert set(answer.headers["tus-extension"].split(",")) == {
            "creation", "creation-with-upload", "creation-defer-length", "checksum", "termination", "expiration",
            "concatenation",
        }  # fmt: skip

    def test_every_answer_names_the_version(self, client: Client) -> None:
        path = client.create(3)
        answers = [
            client.creation(3),
            client.head(path),
            client.patch(path, b"abc", 0),
            client.patch(path, b"abc", 0),
            client.head("/uploads/nothing"),
            client.send("PUT", path),
            client.send("HEAD", path, Authorization=None),
        ]
        assert [answer.status for answer in answers] == [201, 200, 204, 409, 404, 405, 401]
        assert {answer.headers["tus-resumable"] for answer in answers} == {"1.0.0"}


class TestCreation:
    def test_created(self, client: Client) -> None:
        """ "The Server MUST acknowledge ... with the 201 Created status ... MUST set the Location header." """
        answer = client.creation(100)
        assert answer.status == 201
        assert answer.headers["location"].startswith("/uploads/")
        assert answer.offset == 0
        head = client.head(answer.headers["location"])
        assert (head.status, head.offset, head.headers["upload-length"]) == (200, 0, "100")
        assert "upload-defer-length" not in head.headers

    @pytest.mark.parametrize(
        ("headers", "field"),
        [
            ({}, "Upload-Length"),
            ({"Upload_Length": -1}, "Upload-Length"),
            ({"Upload_Length": "1e3"}, "Upload-Length"),
            ({"Upload_Length": "²"}, "Upload-Length"),
            ({"Upload_Length": "9" * 31}, "Upload-Length"),
            ({"Upload_Length": 5, "Upload_Defer_Length": 1}, "Upload-Length"),
            ({"Upload_Defer_Length": 2}, "Upload-Defer-Length"),
            ({"Upload_Length": 5, "Upload_Concat": "half"}, "Upload-Concat"),
        ],
    )
    def test_lengths_that_are_none(self, client: Client, headers: dict[str, Any], field: str) -> None:
        answer = client.send("POST", "/uploads", **headers)
        assert (answer.status, fields(answer)) == (400, [field])

    def test_larger_than_the_maximum(self, client: Client) -> None:
        """ "If the length ... exceeds the maximum ... MUST respond with the 413 status." """
        answer = client.creation(100 * MIB + 1)
        assert (answer.status, problem(answer)) == (413, "upload_too_large")

    def test_an_empty_upload_is_complete_at_once(self, client: Client) -> None:
        """ "A value of 0 ... denotes an empty upload"; nothing more has to be sent."""
        path = client.create(0)
        assert json.loads(client.send("GET", path).body)["state"] == "complete"
        head = client.head(path)
        assert (head.offset, head.headers["upload-length"]) == (0, "0")

    def test_metadata_is_repeated(self, client: Client) -> None:
        """ "The Server MUST include [Upload-Metadata] in the HEAD response, as specified by the Client." """
        metadata = encoded("filename=größe.csv,start=manual") + ",custom,other dmFsdWU="
        path = client.create(3, Upload_Metadata=metadata)
        assert client.head(path).headers["upload-metadata"] == metadata
        assert json.loads(client.send("GET", path).body)["filename"] == "größe.csv"

    @pytest.mark.parametrize(
        ("metadata", "field"),
        [
            ("filename ???", "Upload-Metadata.filename"),
            ("filename YQ==,filename YQ==", "Upload-Metadata"),
            ("filename YQ== YQ==", "Upload-Metadata"),
            (encoded("start=later"), "Upload-Metadata.start"),
            (encoded("dry_run=maybe"), "Upload-Metadata.dry_run"),
            (encoded("while_uploading=2"), "Upload-Metadata.while_uploading"),
            (encoded("parent=abc"), "Upload-Metadata.parent"),
            (encoded("parent=999999"), "Upload-Metadata.parent"),
            (encoded(f"filename={'x' * 1025}"), "Upload-Metadata.filename"),
            (f"filename {base64.b64encode(bytes([255])).decode()}", "Upload-Metadata.filename"),
        ],
    )
    def test_metadata_that_is_none(self, client: Client, metadata: str, field: str) -> None:
        answer = client.creation(3, Upload_Metadata=metadata)
        assert (answer.status, fields(answer)) == (400, [field])

    @pytest.mark.parametrize(
        ("metadata", "field"),
        [("profile=nonsense", "Upload-Metadata.profile"), ("on_conflict=perhaps", "Upload-Metadata")],
    )
    def test_wishes_that_cannot_come_true_are_refused_at_once(self, client: Client, metadata: str, field: str) -> None:
        answer = client.creation(3, metadata=metadata)
        assert (answer.status, fields(answer)) == (400, [field])

    def test_deferred_length(self, client: Client) -> None:
        """ "If the length is not known, the Client MUST set Upload-Defer-Length to 1"; HEAD repeats it until it is."""
        path = client.create(Upload_Defer_Length=1)
        head = client.head(path)
        assert head.headers["upload-defer-length"] == "1"
        assert "upload-length" not in head.headers
        assert client.patch(path, b"abc", 0).status == 204
        assert client.patch(path, b"de", 3, Upload_Length=5).status == 204
        head = client.head(path)
        assert (head.headers["upload-length"], head.offset) == ("5", 5)
        assert "upload-defer-length" not in head.headers
        assert json.loads(client.send("GET", path).body)["state"] == "complete"

    def test_a_length_that_comes_last(self, client: Client) -> None:
        path = client.create(Upload_Defer_Length=1)
        client.patch(path, b"abc", 0)
        answer = client.patch(path, b"", 3, Upload_Length=3)
        assert (answer.status, answer.offset) == (204, 3)
        assert json.loads(client.send("GET", path).body)["state"] == "complete"

    def test_a_known_length_does_not_change(self, client: Client) -> None:
        """ "Once set the length MUST NOT be changed." """
        path = client.create(10)
        answer = client.patch(path, b"abc", 0, Upload_Length=11)
        assert (answer.status, problem(answer)) == (400, "upload_length_known")
        assert client.patch(path, b"abc", 0, Upload_Length=10).status == 204

    def test_a_length_below_the_offset(self, client: Client) -> None:
        path = client.create(Upload_Defer_Length=1)
        client.patch(path, b"abc", 0)
        answer = client.patch(path, b"", 3, Upload_Length=2)
        assert (answer.status, problem(answer)) == (400, "upload_length_below_offset")

    def test_a_late_length_above_the_maximum(self, client: Client) -> None:
        path = client.create(Upload_Defer_Length=1)
        assert client.patch(path, b"abc", 0, Upload_Length=100 * MIB + 1).status == 413


class TestCreationWithUpload:
    def test_the_first_bytes(self, client: Client) -> None:
        answer = client.creation(5, b"abc")
        assert (answer.status, answer.offset) == (201, 3)
        answer = client.patch(answer.headers["location"], b"de", 3)
        assert (answer.status, answer.offset) == (204, 5)

    def test_all_bytes(self, client: Client) -> None:
        answer = client.creation(5, b"abcde")
        assert (answer.status, answer.offset) == (201, 5)
        assert json.loads(answer.body)["state"] == "complete"
        assert "upload-expires" not in answer.headers

    def test_of_unknown_length(self, client: Client) -> None:
        answer = client.creation(None, iter([b"ab", b"cd"]), Upload_Defer_Length=1, chunked=True)
        assert (answer.status, answer.offset) == (201, 4)

    def test_more_than_announced(self, client: Client) -> None:
        answer = client.creation(5, b"abcdef")
        assert (answer.status, problem(answer)) == (413, "upload_too_long")

    def test_another_type(self, client: Client) -> None:
        answer = client.creation(5, b"abc", Content_Type="text/csv")
        assert (answer.status, problem(answer)) == (415, "unsupported_media_type")

    def test_a_damaged_body_leaves_an_upload_to_go_on_with(self, client: Client) -> None:
        answer = client.creation(5, b"abcde", Upload_Checksum="sha1 " + digest("sha1", b"other"))
        assert (answer.status, problem(answer), answer.offset) == (460, "checksum_mismatch", 0)
        assert client.patch(answer.headers["location"], b"abcde", 0).status == 204


class TestHead:
    """ "The Server MUST always include the Upload-Offset header ... MUST prevent ... caching ... no-store." """

    def test_not_cached_and_also_when_complete(self, client: Client) -> None:
        path = client.create(3, b"abc")
        answer = client.head(path)
        assert (answer.status, answer.offset, answer.headers["upload-length"]) == (200, 3, "3")
        assert "no-store" in answer.headers["cache-control"]
        assert answer.body == b""

    @pytest.mark.parametrize("path", ["/uploads/nothing", f"/uploads/{uuid.UUID(int=1)}", "/uploads/a%2Fb"])
    def test_unknown(self, client: Client, path: str) -> None:
        """ "SHOULD return 404 ... MUST NOT include the Upload-Offset header." """
        answer = client.head(path)
        assert answer.status == 404
        assert "upload-offset" not in answer.headers


class TestPatch:
    def test_bytes_in_pieces(self, client: Client) -> None:
        data = os.urandom(3 * MIB + 17)
        path = client.create(len(data))
        for start in range(0, len(data), MIB + 5):
            answer = client.patch(path, data[start : start + MIB + 5], start)
            assert (answer.status, answer.body) == (204, b"")
            assert answer.offset == min(len(data), start + MIB + 5)
        assert client.head(path).offset == len(data)

    @pytest.mark.parametrize("offset", [0, 2, 4, 10, 11, 1 << 62])
    def test_another_offset(self, client: Client, offset: int) -> None:
        """ "If the offsets do not match, the Server MUST respond with the 409 Conflict status." """
        path = client.create(10, b"abc")
        answer = client.patch(path, b"x", offset)
        assert (answer.status, problem(answer), answer.offset) == (409, "upload_offset_mismatch", 3)
        assert client.head(path).offset == 3

    @pytest.mark.parametrize("offset", [None, "-1", "x", ""])
    def test_no_offset(self, client: Client, offset: Any) -> None:
        answer = client.patch(client.create(10), b"x", offset)
        assert (answer.status, fields(answer)) == (400, ["Upload-Offset"])

    @pytest.mark.parametrize("kind", [None, "application/octet-stream", "multipart/form-data; boundary=x"])
    def test_another_type(self, client: Client, kind: str | None) -> None:
        """ "MUST use Content-Type: application/offset+octet-stream, otherwise the Server SHOULD return 415." """
        path = client.create(10)
        answer = client.patch(path, b"x", 0, Content_Type=kind)
        assert (answer.status, problem(answer)) == (415, "unsupported_media_type")

    def test_the_type_may_have_parameters(self, client: Client) -> None:
        assert client.patch(client.create(1), b"x", 0, Content_Type=f"{TYPE.upper()}; x=y").status == 204

    def test_more_than_announced(self, client: Client) -> None:
        path = client.create(5)
        answer = client.patch(path, b"abcdef", 0)
        assert (answer.status, problem(answer)) == (413, "upload_too_long")
        assert client.head(path).offset == 0

    def test_more_than_announced_in_chunks(self, client: Client) -> None:
        path = client.create(5)
        answer = client.patch(path, iter([b"abc", b"def"]), 0, chunked=True)
        assert (answer.status, problem(answer)) == (413, "upload_too_long")
        assert json.loads(client.send("GET", path).body)["state"] == "receiving"

    def test_chunked(self, client: Client) -> None:
        data = os.urandom(2 * MIB)
        path = client.create(len(data))
        answer = client.patch(path, (data[at : at + 77_777] for at in range(0, len(data), 77_777)), 0, chunked=True)
        assert (answer.status, answer.offset) == (204, len(data))

    def test_nothing(self, client: Client) -> None:
        path = client.create(5, b"abcde")
        answer = client.patch(path, b"", 5)
        assert (answer.status, answer.offset) == (204, 5)

    def test_more_behind_a_complete_upload(self, client: Client) -> None:
        path = client.create(5, b"abcde")
        assert client.patch(path, b"f", 5).status == 413

    def test_unknown(self, client: Client) -> None:
        answer = client.patch(f"/uploads/{uuid.uuid4()}", b"x", 0)
        assert (answer.status, problem(answer)) == (404, "upload_not_found")

    def test_the_connection_is_used_again(self, client: Client) -> None:
        path = client.create(10)
        connection = client.connect()
        for start in range(0, 10, 2):
            answer = client.patch(path, b"ab", start, connection=connection)
            assert (answer.status, answer.closes) == (204, False)
        assert client.head(path, connection=connection).offset == 10
        connection.close()

    def test_two_requests_sent_at_once(self, client: Client) -> None:
        """What the parser has read of the second request must not be taken for the body of the first."""
        path = client.create(6)
        with client.begin("PATCH", path, length=3, Content_Type=TYPE, Upload_Offset=0) as opened:
            lines = "".join(f"{name}: {value}\r\n" for name, value in client.headers().items())
            opened.sendall(f"abcHEAD {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
            assert receive_answer(opened).offset == 3
            assert receive_answer(opened, "HEAD").status == 200

    @pytest.mark.parametrize("extension", [b"", b";name=value", b" ; a"])
    def test_two_chunked_requests_sent_at_once(self, client: Client, extension: bytes) -> None:
        path = client.create(3)
        with client.begin("PATCH", path, Transfer_Encoding="chunked", Content_Type=TYPE, Upload_Offset=0) as opened:
            lines = "".join(f"{name}: {value}\r\n" for name, value in client.headers().items())
            body = b"1%b\r\na\r\n02\r\nbc\r\n0\r\nTrailer: x\r\n\r\n" % extension
            opened.sendall(body + f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
            assert receive_answer(opened).offset == 3
            assert receive_answer(opened, "HEAD").offset == 3

    @pytest.mark.parametrize(
        "body", [b"3\r\nabcd\r\n0\r\n\r\n", b"x\r\n", b"-3\r\nabc\r\n", b"3\nabc\n", b"3\r\nabc\r\n\r\n"]
    )
    def test_broken_chunks(self, client: Client, body: bytes) -> None:
        path = client.create(100)
        with client.begin("PATCH", path, Transfer_Encoding="chunked", Content_Type=TYPE, Upload_Offset=0) as opened:
            opened.sendall(body)
            answer = receive_answer(opened)
        assert (answer.status, problem(answer), answer.closes) == (400, "malformed_body", True)


class TestMethodOverride:
    """ "The Server MUST use [X-HTTP-Method-Override] ... the actual method of the request MUST be ignored." """

    def test_all_methods(self, client: Client) -> None:
        path = client.create(3)
        answer = client.send(
            "POST", path, b"abc", X_HTTP_Method_Override="PATCH", Upload_Offset=0, Content_Type=TYPE
        )  # fmt: skip
        assert (answer.status, answer.offset) == (204, 3)
        answer = client.send("POST", path, X_HTTP_Method_Override="HEAD")
        assert (answer.status, answer.offset) == (200, 3)
        assert client.send("POST", path, X_HTTP_Method_Override="DELETE").status == 204
        assert client.head(path).status == 404
        assert client.send("POST", path, X_HTTP_Method_Override="BREW").status == 405


def digest(algorithm: str, data: bytes) -> str:
    """The checksum of bytes in base64."""
    raw = zlib.crc32(data).to_bytes(4, "big") if algorithm == "crc32" else hashlib.new(algorithm, data).digest()
    return base64.b64encode(raw).decode()


class TestChecksum:
    @pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha256", "crc32"])
    def test_that_matches(self, client: Client, algorithm: str) -> None:
        path = client.create(10)
        answer = client.patch(path, b"abc", 0, Upload_Checksum=f"{algorithm} {digest(algorithm, b'abc')}")
        assert (answer.status, answer.offset) == (204, 3)

    @pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha256", "crc32"])
    def test_that_differs(self, client: Client, algorithm: str) -> None:
        """ "460 Checksum Mismatch ... MUST discard the chunk, and the upload's offset MUST NOT be updated." """
        path = client.create(10)
        answer = client.patch(path, b"abc", 0, Upload_Checksum=f"{algorithm} {digest(algorithm, b'abd')}")
        assert (answer.status, answer.reason, problem(answer)) == (460, "Checksum Mismatch", "checksum_mismatch")
        assert client.head(path).offset == 0

    def test_of_several_segments_is_all_or_nothing(self, served: Any, client: Client) -> None:
        data = os.urandom(4 * MIB)
        path = client.create(len(data))
        answer = client.patch(path, data, 0, Upload_Checksum=f"sha1 {digest('sha1', b'other')}")
        assert (answer.status, client.head(path).offset) == (460, 0)
        assert not list(served.media.rglob(f"{path.split('/')[-1].replace('-', '')}/*stored*"))
        answer = client.patch(path, data, 0, Upload_Checksum=f"sha1 {digest('sha1', data)}")
        assert (answer.status, client.head(path).offset) == (204, len(data))

    def test_of_a_body_that_was_cut(self, client: Client) -> None:
        path = client.create(10)
        checksum = f"sha1 {digest('sha1', b'0123456789')}"
        with client.begin(
            "PATCH", path, length=10, Content_Type=TYPE, Upload_Offset=0, Upload_Checksum=checksum
        ) as opened:  # fmt: skip
            opened.sendall(b"01234")
            time.sleep(0.3)
        assert client.head(path).offset == 0

    @pytest.mark.parametrize("value", ["sha512 YWJj", "sha1", "sha1 ???", "sha1 YWJj", "SHA1 ", ""])
    def test_that_is_none(self, client: Client, value: str) -> None:
        """ "400 Bad Request if the checksum algorithm is not supported by the server." """
        answer = client.patch(client.create(10), b"abc", 0, Upload_Checksum=value)
        assert (answer.status, problem(answer)) == (400, "checksum_invalid")


class TestTermination:
    def test_gone(self, client: Client) -> None:
        """ "the Server MUST respond with 204 ... future requests ... SHOULD return 404 or 410." """
        path = client.create(3, b"abc")
        assert client.delete(path).status == 204
        for answer in (client.head(path), client.patch(path, b"", 3), client.delete(path)):
            assert answer.status == 404
            assert "upload-offset" not in answer.headers
        assert json.loads(client.send("GET", path).body)["state"] == "terminated"

    def test_bytes_are_deleted(self, served: Any, client: Client) -> None:
        path = client.create(3, b"abc")
        directory = served.media / path.split("-")[0][-8:-6] / path.split("/")[-1].replace("-", "")
        assert len(list(directory.iterdir())) == 1
        client.delete(path)
        assert not directory.exists()

    def test_while_bytes_arrive(self, client: Client) -> None:
        path = client.create(100)
        with client.begin("PATCH", path, length=100, Content_Type=TYPE, Upload_Offset=0) as opened:
            opened.sendall(b"abc")
            time.sleep(0.3)
            assert client.delete(path).status == 204
            answer = receive_answer(opened)
        assert (answer.status, problem(answer)) == (409, "upload_taken_over")
        assert client.head(path).status == 404


class TestExpiration:
    def test_told_until_it_is_complete(self, client: Client) -> None:
        """ "This header MUST be included in every PATCH response if the upload is going to expire." """
        created = client.creation(6)
        path = created.headers["location"]
        for answer in (created, client.patch(path, b"abc", 0), client.head(path)):
            left = parsedate_to_datetime(answer.headers["upload-expires"]).timestamp() - time.time()
            assert 23.9 * 3600 < left < 24.1 * 3600
        assert "upload-expires" not in client.patch(path, b"def", 3).headers

    def test_expired(self, served: Any, client: Client) -> None:
        path = client.create(6, b"abc")
        complete = client.create(3, b"abc")
        served.rows("UPDATE ingestion_upload SET expires_at = now() WHERE id = %s", path.split("/")[-1])
        done = served.manage("prune_uploads")
        assert done.returncode == 0, done.stderr
        for answer in (client.head(path), client.patch(path, b"def", 3)):
            assert answer.status == 410
        assert json.loads(client.send("GET", path).body)["state"] == "expired"
        assert client.head(complete).status == 200


class TestConcatenation:
    def part(self, client: Client, data: bytes) -> str:
        return client.create(len(data), data, metadata=None, Upload_Concat="partial")

    def test_final(self, client: Client) -> None:
        parts = [self.part(client, data) for data in (b"abc", b"", b"defg")]
        answer = client.creation(Upload_Concat=f"final;{' '.join(parts)}")
        assert (answer.status, answer.offset) == (201, 7)
        head = client.head(answer.headers["location"])
        assert (head.headers["upload-length"], head.offset) == ("7", 7)
        assert head.headers["upload-concat"] == f"final;{' '.join(parts)}"
        assert client.head(parts[0]).headers["upload-concat"] == "partial"
        # Parts may be used again, and absolute URLs name them as well.
        twice = f"final;{client.url}{parts[0]} {client.url}{parts[0]}"
        assert client.creation(Upload_Concat=twice).offset == 6

    def test_patch_of_a_final_upload(self, client: Client) -> None:
        """ "The Server MUST respond with the 403 status to PATCH requests against a final upload URL." """
        path = client.create(Upload_Concat=f"final;{self.part(client, b'abc')}")
        answer = client.patch(path, b"d", 3)
        assert (answer.status, problem(answer)) == (403, "upload_is_final")

    def test_of_unfinished_parts(self, client: Client) -> None:
        parts = [self.part(client, b"abc"), client.create(5, metadata=None, Upload_Concat="partial")]
        answer = client.creation(Upload_Concat=f"final;{' '.join(parts)}")
        assert (answer.status, problem(answer)) == (409, "upload_part_unfinished")

    def test_with_a_length(self, client: Client) -> None:
        """ "The Client MUST NOT include the Upload-Length header in the final upload creation." """
        answer = client.creation(3, Upload_Concat=f"final;{self.part(client, b'abc')}")
        assert (answer.status, fields(answer)) == (400, ["Upload-Length"])

    @pytest.mark.parametrize("concat", ["final;", "final", "final;/uploads/x", "final;/orders/3", "final;" + "/" * 50])
    def test_of_nothing(self, client: Client, concat: str) -> None:
        answer = client.creation(Upload_Concat=concat)
        assert (answer.status, fields(answer)) == (400, ["Upload-Concat"])

    def test_of_others(self, served: Any, client: Client) -> None:
        foreign = self.part(served.client("bob"), b"abc")
        whole = client.create(3, b"abc")
        for part in (foreign, whole, f"/uploads/{uuid.uuid4()}"):
            answer = client.creation(Upload_Concat=f"final;{part}")
            assert (answer.status, problem(answer)) == (400, "upload_part_not_usable")

    def test_of_a_part_that_is_gone(self, client: Client) -> None:
        part = self.part(client, b"abc")
        client.delete(part)
        assert client.creation(Upload_Concat=f"final;{part}").status == 404

    def test_a_final_upload_outlives_its_parts(self, client: Client) -> None:
        part = self.part(client, b"abc")
        path = client.create(Upload_Concat=f"final;{part}")
        client.delete(part)
        assert client.head(path).status == 200


class TestWhoMay:
    def test_nobody_without_a_token(self, client: Client) -> None:
        path = client.create(3)
        for method, target in (("POST", "/uploads"), ("HEAD", path), ("PATCH", path), ("DELETE", path), ("GET", path)):
            answer = client.send(method, target, Authorization=None)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")

    def test_no_role_no_upload(self, served: Any) -> None:
        answer = served.client("charlie").creation(3)
        assert (answer.status, problem(answer)) == (403, "permission_denied")

    def test_others_see_nothing(self, served: Any, client: Client) -> None:
        path, bob = client.create(3), served.client("bob")
        for answer in (bob.head(path), bob.patch(path, b"abc", 0), bob.delete(path), bob.send("GET", path)):
            assert answer.status == 404
        assert path not in bob.send("GET", "/uploads").body.decode()
        assert client.head(path).offset == 0

    def test_staff_looks_but_does_not_write(self, served: Any, client: Client) -> None:
        path, ada = client.create(3), served.client("ada")
        assert ada.head(path).status == 200
        assert ada.send("GET", path).status == 200
        assert path in ada.send("GET", "/uploads?limit=1000").body.decode()
        answer = ada.patch(path, b"abc", 0)
        assert (answer.status, problem(answer)) == (403, "upload_not_yours")
        assert ada.delete(path).status == 204


class TestJson:
    def test_detail(self, client: Client) -> None:
        path = client.create(6, b"abc", metadata="filename=orders.csv,profile=sluice,start=manual,on_conflict=update")
        found = json.loads(client.send("GET", path, Tus_Resumable=None).body)
        assert found["url"] == path
        assert (found["filename"], found["profile"], found["start"]) == ("orders.csv", "sluice", "manual")
        assert (found["offset"], found["length"], found["state"]) == (3, 6, "receiving")
        assert (found["owner"], found["imports"], found["options"]) == ("alice", [], {"on_conflict": "update"})

    def test_import_starts_by_itself(self, client: Client) -> None:
        path = client.create(3, b"abc", metadata="filename=orders.csv")
        (made,) = json.loads(client.send("GET", path).body)["imports"]
        assert (made["state"], made["url"]) == ("queued", f"/imports/{made['id']}")

    def test_import_while_uploading(self, client: Client) -> None:
        path = client.create(6, b"abc", metadata="while_uploading")
        (made,) = json.loads(client.send("GET", path).body)["imports"]
        assert made["state"] == "uploading"

    def test_upload_that_is_being_imported_stays(self, client: Client) -> None:
        path = client.create(3, b"abc", metadata="filename=orders.csv")
        answer = client.delete(path)
        assert (answer.status, problem(answer)) == (409, "upload_in_use")

    def test_list(self, served: Any) -> None:
        bob = served.client("bob")
        paths = [bob.create(3) for _ in range(3)]
        first = json.loads(bob.send("GET", "/uploads?limit=2", Tus_Resumable=None).body)
        assert [found["url"] for found in first["results"]] == [paths[2], paths[1]]
        more = json.loads(bob.send("GET", first["next"].replace(bob.url, "")).body)
        assert more["results"][0]["url"] == paths[0]
        states = json.loads(bob.send("GET", "/uploads?state=complete").body)
        assert paths[0] not in [found["url"] for found in states["results"]]
        assert bob.send("GET", "/uploads?state=lost").status == 400


@pytest.fixture
def slow_patch(client: Client) -> Callable[..., Any]:
    """Begins a PATCH of 100 bytes and sends some of them."""

    def begin(path: str, data: bytes, offset: int = 0) -> Any:
        opened = client.begin("PATCH", path, length=100, Content_Type=TYPE, Upload_Offset=offset)
        opened.sendall(data)
        time.sleep(0.3)
        return opened

    return begin


class TestWriters:
    def test_a_cut_connection_keeps_what_arrived(self, client: Client, slow_patch: Callable[..., Any]) -> None:
        path = client.create(100)
        slow_patch(path, b"abc").close()
        assert client.head(path).offset == 3
        assert client.patch(path, b"d", 3).offset == 4

    def test_a_cut_chunked_body_keeps_what_arrived(self, client: Client) -> None:
        path = client.create(100)
        with client.begin("PATCH", path, Transfer_Encoding="chunked", Content_Type=TYPE, Upload_Offset=0) as opened:
            opened.sendall(b"3\r\nabc\r\n5\r\nde")
            time.sleep(0.3)
        assert client.head(path).offset == 5

    def test_head_makes_a_stale_writer_save_and_let_go(self, client: Client, slow_patch: Callable[..., Any]) -> None:
        path = client.create(100)
        with slow_patch(path, b"abc") as stale:
            started = time.monotonic()
            assert client.head(path).offset == 3
            assert time.monotonic() - started < 2.9
            answer = receive_answer(stale)
            assert (answer.status, problem(answer), answer.closes) == (409, "upload_taken_over", True)
        assert client.patch(path, b"d", 3).status == 204

    def test_a_new_patch_takes_over(self, client: Client, slow_patch: Callable[..., Any]) -> None:
        path = client.create(100)
        with slow_patch(path, b"abc") as stale:
            answer = client.patch(path, b"xyz", 0)
            assert (answer.status, answer.offset) == (409, 3)
            assert receive_answer(stale).status == 409
            assert client.patch(path, b"d", 3).offset == 4

    def test_looking_at_it_disturbs_nobody(self, client: Client, slow_patch: Callable[..., Any]) -> None:
        path = client.create(100)
        with slow_patch(path, b"abc") as opened:
            assert client.send("GET", path).status == 200
            time.sleep(1.5)
            opened.sendall(b"d" * 97)
            assert receive_answer(opened).offset == 100

    def test_who_only_sees_it_disturbs_nobody(
        self, served: Any, client: Client, slow_patch: Callable[..., Any]
    ) -> None:
        path = client.create(100)
        with slow_patch(path, b"abc") as opened:
            assert served.client("ada").head(path).status == 200
            time.sleep(1.5)
            opened.sendall(b"d" * 97)
            assert receive_answer(opened).offset == 100

    def test_a_patch_elsewhere_disturbs_nobody(self, client: Client, slow_patch: Callable[..., Any]) -> None:
        path = client.create(100)
        with slow_patch(path, b"abc") as opened:
            answer = client.patch(path, b"x", 50)
            assert (answer.status, problem(answer)) == (409, "upload_offset_mismatch")
            time.sleep(1.5)
            opened.sendall(b"d" * 97)
            assert receive_answer(opened).offset == 100

    def test_a_refused_patch_disturbs_nobody(self, client: Client, slow_patch: Callable[..., Any]) -> None:
        path = client.create(100)
        with slow_patch(path, b"abc") as opened:
            assert client.patch(path, b"x", 0, Content_Type="text/csv").status == 415
            assert client.patch(path, b"x", 0, Upload_Checksum="sha512 x").status == 400
            opened.sendall(b"d" * 97)
            assert receive_answer(opened).offset == 100


class TestUnreadBodies:
    """A refusal must reach the client, and must not leave a thread waiting for a body that nobody wants."""

    def test_small_ones_are_dropped_and_the_connection_stays(self, client: Client) -> None:
        connection = client.connect()
        answer = client.patch("/uploads/nothing", b"x" * 1000, 0, connection=connection)
        assert (answer.status, answer.closes) == (404, False)
        assert client.send("GET", "/uploads", connection=connection).status == 200
        connection.close()

    def test_large_ones_end_the_connection_and_the_answer_arrives(self, client: Client) -> None:
        answer = client.patch("/uploads/nothing", os.urandom(20 * MIB), 0)
        assert (answer.status, answer.closes) == (404, True)

    def test_chunked_ones_too(self, client: Client) -> None:
        answer = client.patch("/uploads/nothing", iter([b"x" * MIB] * 5), 0, chunked=True)
        assert (answer.status, answer.closes) == (404, True)

    def test_threads_are_free_again(self, client: Client) -> None:
        """More refused bodies than there are threads, none of which is ever sent."""
        head: dict[str, Any] = {"length": 50 * MIB, "Content_Type": TYPE, "Upload_Offset": 0}
        with ExitStack() as stack:
            opened = [stack.enter_context(client.begin("PATCH", "/uploads/nothing", **head)) for _ in range(20)]
            assert {receive_answer(each).status for each in opened} == {404}
            started = time.monotonic()
            assert client.send("GET", "/uploads").status == 200
            assert time.monotonic() - started < 15

    def test_who_expects_100_continue_is_refused_before_it_sends(self, client: Client) -> None:
        headers = {"Content_Type": TYPE, "Upload_Offset": 7, "Expect": "100-continue"}
        with client.begin("PATCH", client.create(10), length=3, **headers) as opened:
            answer = receive_answer(opened)
        assert (answer.status, answer.closes) == (409, True)

    def test_who_expects_100_continue_gets_it(self, client: Client) -> None:
        headers = {"Content_Type": TYPE, "Upload_Offset": 0, "Expect": "100-continue"}
        with client.begin("PATCH", client.create(3), length=3, **headers) as opened:
            assert opened.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            opened.sendall(b"abc")
            answer = receive_answer(opened)
        assert (answer.status, answer.offset, answer.closes) == (204, 3, False)
