"""A Python program on the library, through the face that uniffi generates for it. Reads a line of JSON that says what is
where; prints a line of JSON."""

import asyncio
import json
import sys
import urllib.error
import urllib.request

GIVEN = json.loads(sys.stdin.readline())
sys.path.insert(0, GIVEN["face"])
import countersign  # noqa: E402  generated, beside the library


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)


def fetch(method, url, headers, body=None, most=65536):
    request = urllib.request.Request(url, body, dict(headers), method=method)
    try:
        with HTTP.open(request, timeout=30) as answer:
            return answer.status, answer.read(most + 1)
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read(most + 1)


class Transport(countersign.Transport):
    async def call(self, call):
        headers = {"Content-Type": call.content_type} if call.content_type else {}
        method, body = ("POST", call.body) if call.post else ("GET", None)
        try:
            status, body = await asyncio.to_thread(fetch, method, call.url, headers, body, call.max_answer)
        except OSError:
            raise countersign.TransportError.Unreached()
        if len(body) > call.max_answer:
            raise countersign.TransportError.Unreached()
        return countersign.ServiceAnswer(status=status, body=body)


class Timer(countersign.Timer):
    async def sleep(self, millis):
        await asyncio.sleep(millis / 1000)


def attester():
    configuration = countersign.Configuration(
        issuer=GIVEN["service"],
        client_id=GIVEN["client"],
        resources=[countersign.ApiResource(origin=GIVEN["api"], identifier=GIVEN["api"])],
        app_version="1.0",
        platform=countersign.DevicePlatform.DEVELOPMENT(),
    )
    return countersign.Attester.development(configuration, GIVEN["folder"], Transport(), Timer())


async def proof(attester, path, method="GET"):
    request = countersign.ApiRequest(method=method, uri=GIVEN["api"] + path)
    proof = await attester.prove_when_ready(request)
    return {field.name: field.value for field in proof.fields}


def status(path, fields, method="GET"):
    return fetch(method, GIVEN["api"] + path, fields)[0]


async def key():
    """The development key; nobody has registered it yet."""
    its = attester()
    told = its.development_key()
    try:
        await proof(its, "/v1/orders")
        refused = None
    except countersign.CountersignError.Refused as error:
        refused = error.reference
    return {"command": told.command, "key_id": told.key_id, "refused": refused}


async def call():
    """Enrols, and calls the API as it should be called, and as it should not."""
    its = attester()
    first = await asyncio.gather(*(proof(its, "/v1/orders?page=%d" % page) for page in range(20)))
    good = first[0]
    result = {
        "accepted": [status("/v1/orders?page=%d" % page, fields) for page, fields in enumerate(first)],
        "again": status("/v1/orders?page=0", good),
        "bare": status("/v1/orders?page=0", {}),
    }
    # Each for itself: what was refused for one reason must not be refused for another.
    for name, (path, method) in {"path": ("/v1/other", "GET"), "query": ("/v1/orders?page=2", "GET"), "method": ("/v1/orders", "DELETE")}.items():
        result[name] = status(path, await proof(its, "/v1/orders"), method)
    fields = await proof(its, "/v1/orders")
    middle = len(fields["attestation-proof"]) // 2
    flipped = "A" if fields["attestation-proof"][middle] != "A" else "B"
    altered = fields["attestation-proof"][:middle] + flipped + fields["attestation-proof"][middle + 1 :]
    result["altered"] = status("/v1/orders", {**fields, "attestation-proof": altered})
    try:
        await its.prove_when_ready(countersign.ApiRequest(method="GET", uri="http://127.0.0.1:1/"))
    except countersign.CountersignError.UnknownOrigin:
        result["elsewhere"] = "unknown_origin"
    result["instance"] = its.standing().instance
    result["version"] = countersign.library_version()
    try:
        countersign.require_library_version("0.0.0")
    except countersign.CountersignError.LibraryMismatch as error:
        result["mismatch"] = [error.library, error.face]
    return result


print(json.dumps(asyncio.run({"key": key, "call": call}[GIVEN["part"]]())))
