"""Our JWTs in PyJWT: each verifies with the key that its issuer names, and nothing that was changed does.

In: {jwks, issuer, clientId, issued: {name: jwt}, pop: {jwt, issuer}}. Out: {verified, refused}.
"""

import base64
import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

given = json.load(sys.stdin)
keys = jwt.PyJWKSet.from_dict(given["jwks"])
other = ec.generate_private_key(ec.SECP256R1())
count = {"verified": 0, "refused": 0}


def encoded(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def flipped(part):
    value = bytearray(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    value[len(value) // 2] ^= 1
    return encoded(bytes(value))


def verifies(token, verify):
    claims = verify(token)
    count["verified"] += 1
    header, body, signature = token.split(".")
    head = jwt.get_unverified_header(token)

    def renamed(algorithm):
        return encoded(json.dumps({**head, "alg": algorithm}).encode())

    changed = {
        "a flipped bit in the claims": f"{header}.{flipped(body)}.{signature}",
        "a flipped bit in the signature": f"{header}.{body}.{flipped(signature)}",
        "alg none": f"{renamed('none')}.{body}.",
        "another alg": f"{renamed('ES384')}.{body}.{signature}",
        "a symmetric alg": f"{renamed('HS256')}.{body}.{signature}",
        "another key": jwt.encode(claims, other, "ES256", headers=head),
    }
    for what, forged in changed.items():
        try:
            verify(forged)
        except jwt.PyJWTError:
            count["refused"] += 1
        else:
            raise AssertionError(f"{what} verifies")
    return claims


def issued(token):
    return jwt.decode(
        token,
        keys[jwt.get_unverified_header(token)["kid"]],
        algorithms=["ES256"],
        issuer=given["issuer"],
        subject=given["clientId"],
        options={"require": ["iss", "sub", "iat", "exp", "cnf"]},
    )


for name, token in given["issued"].items():
    claims = verifies(token, issued)
    assert ("countersign" in claims) == (name == "resource"), "the member is for resources alone"

instance_key = jwt.PyJWK({**claims["cnf"]["jwk"], "alg": "ES256"})
verifies(
    given["pop"]["jwt"],
    lambda token: jwt.decode(
        token,
        instance_key,
        algorithms=["ES256"],
        audience=given["pop"]["issuer"],
        options={"require": ["aud", "jti", "iat"]},
    ),
)
print(json.dumps(count))
