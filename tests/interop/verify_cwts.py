"""Our CWTs in python-cwt: results verify with the service's keys, proofs with the key that the result names, and
nothing that was changed does.

In: {jwks, issuer, clientId, resource, result, proof}. Out: {verified, refused}.
"""

import base64
import hashlib
import json
import sys
import time

import cbor2
import cwt
from cwt import COSE, COSEKey

given = json.load(sys.stdin)
count = {"verified": 0, "refused": 0}
ALG, KID, TYP = 1, 4, 16
ISS, SUB, AUD, EXP, IAT, CNF = 1, 2, 3, 4, 6, 8
RESULT, HTM, HTU = -66020, -66022, -66023
# The public key of RFC 8037 appendix A.2.
STRANGER = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def tagged(message):
    """Ours are untagged COSE_Sign1: the header field says what they are."""
    return b"\xd2" + message


def verifies(message, keys, typ):
    verify = COSE.new().decode_with_headers
    protected, unprotected, payload = verify(tagged(message), keys)
    assert protected[TYP] == typ, protected
    assert unprotected == {}, unprotected
    count["verified"] += 1

    parts = cbor2.loads(message)

    def with_part(index, part):
        return cbor2.dumps([*parts[:index], part, *parts[index + 1 :]])

    def flipped(index):
        part = bytearray(parts[index])
        part[len(part) // 2] ^= 1
        return with_part(index, bytes(part))

    def with_algorithm(algorithm):
        return with_part(0, cbor2.dumps({**cbor2.loads(parts[0]), ALG: algorithm}))

    # With the very name of the right one.
    name = {"kid": protected[KID].decode()} if KID in protected else {}
    stranger = COSEKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": STRANGER, "alg": "EdDSA", **name})
    symmetric = COSEKey.generate_symmetric_key(alg="HS256", kid=protected.get(KID, b""))
    changed = {
        "a flipped bit in the protected header": (flipped(0), keys),
        "a flipped bit in the claims": (flipped(2), keys),
        "a flipped bit in the signature": (flipped(3), keys),
        "ES256 in the header": (with_algorithm(-7), keys),
        "EdDSA in the header": (with_algorithm(-8), keys),
        "another key": (message, [stranger]),
        "a symmetric key": (message, [symmetric]),
    }
    for what, (forged, with_keys) in changed.items():
        try:
            verify(tagged(forged), with_keys)
        except (cwt.CWTError, ValueError):
            count["refused"] += 1
        else:
            raise AssertionError(f"{what} verifies")
    return cbor2.loads(payload)


keys = [COSEKey.from_jwk(key) for key in given["jwks"]["keys"]]
result = decoded(given["result"])
claims = verifies(result, keys, "application/vnd.countersign.result+cwt")
assert (claims[ISS], claims[SUB]) == (given["issuer"], given["clientId"])
assert claims[IAT] <= time.time() + 60 and time.time() < claims[EXP] <= claims[IAT] + 600

session_key = COSEKey.new(claims[CNF][1])
proof = decoded(given["proof"])
shown = verifies(proof, [session_key], "application/vnd.countersign.proof+cwt")
assert (shown[AUD], shown[HTM], shown[HTU]) == (given["resource"], "GET", given["resource"] + "/v1/account")
assert shown[RESULT] == hashlib.sha256(result).digest()
print(json.dumps(count))
