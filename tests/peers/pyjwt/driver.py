"""Verifies requests with the package PyJWT, as an API in Python would: FOLDER SECONDS. See ../README.md."""

import hashlib
import json
import sys
import time
from base64 import urlsafe_b64encode

import jwt

folder, seconds = sys.argv[1], float(sys.argv[2])
FILES = {"es256": "ES256", "eddsa": "EdDSA"}
MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


def sha256(data):
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def thumbprint(jwk):
    members = {name: jwk[name] for name in MEMBERS[jwk["kty"]]}
    return sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode())


def require(claim, what):
    if not claim:
        raise ValueError(what)


class Case:
    def __init__(self, name, algorithm):
        with open(f"{folder}/{name}.json") as file:
            self.input = json.load(file)
        self.name, self.algorithms = f"{name}/each-time", [algorithm]
        keys = self.input["keys"]
        self.service = jwt.PyJWK(keys["service"]["keys"][0])
        self.login = jwt.PyJWK(keys["login"]["keys"][0])

    def verify(self, request, given, seen):
        attestation = jwt.decode(given["attestation"], self.service, self.algorithms, issuer=self.input["issuer"])
        token = jwt.decode(
            given["token"],
            self.login,
            self.algorithms,
            issuer=self.input["login"],
            audience=self.input["resource"],
        )
        jwk = jwt.get_unverified_header(request["proof"])["jwk"]
        proof = jwt.decode(request["proof"], jwt.PyJWK(jwk, self.algorithms[0]), self.algorithms)
        jkt = thumbprint(jwk)
        require(jkt == thumbprint(attestation["cnf"]["jwk"]), "attested key")
        require(jkt == token["cnf"]["jkt"], "key of the token")
        require(proof["ath"] == sha256(given["token"].encode()), "ath")
        require((proof["htm"], proof["htu"]) == (request["method"], request["target"]), "method and target")
        require(abs(time.time() - proof["iat"]) < 3600, "iat")
        require(proof["jti"] not in seen, "replay")
        seen.add(proof["jti"])

    def measure(self, limit):
        """How many requests passed (others raise) in about so many seconds of the processor's time, and in how many exactly."""
        requests, phones = self.input["requests"], self.input["phones"]
        start, calls, seen = time.process_time(), 0, set()
        while True:
            elapsed = time.process_time() - start
            if calls % 16 == 0 and elapsed > limit:
                return f"{calls} {elapsed:.6f}"
            if calls % len(requests) == 0:
                seen = set()
            request = requests[calls % len(requests)]
            self.verify(request, phones[request["phone"]], seen)
            calls += 1


cases = [Case(name, algorithm) for name, algorithm in FILES.items()]


def measure_all(limit):
    for case in cases:
        print(case.name, case.measure(limit))
    print("end", flush=True)


# The first is to warm up.
measure_all(2 * seconds)
for _ in sys.stdin:
    measure_all(seconds)
