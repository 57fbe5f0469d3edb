"""Runs the package `pyattest` over the corpus: FOLDER TIME [SECONDS CASE...]. See ../README.md."""

import asyncio
import base64
import functools
import hashlib
import itertools
import json
import pathlib
import sys
import time

from cryptography.hazmat.primitives.serialization import load_der_public_key
from pyattest.assertion import Assertion
from pyattest.attestation import Attestation
from pyattest.configs.apple import AppleConfig

folder, now, *bench = sys.argv[1:]


def read(family):
    return json.loads(pathlib.Path(folder, f"{family}.json").read_text())


ROOT = read("app-attest")["roots"][0].encode()


def config(manifest, case):
    return AppleConfig(
        key_id=base64.b64decode(case["key_id"]),
        app_id=manifest["policy"]["app_id"],
        production=True,
        root_ca=ROOT,
    )


def attestation(manifest, case):
    raw = base64.b64decode(case["attestation_object"])
    asyncio.run(Attestation(raw, case["client_data"].encode(), config(manifest, case)).verify())


def assertion(manifest, case):
    raw, digest = base64.b64decode(case["assertion"]), base64.b64decode(case["client_data_hash"])
    key = load_der_public_key(base64.b64decode(case["public_key_spki"]))
    verified = Assertion(raw, digest, key, config(manifest, case))
    verified.verify()
    # The package hands counter and App ID hash to its caller, who has to compare them.
    if verified.data["counter"] <= case["previous_counter"]:
        raise ValueError("counter")
    if verified.data["rp_id"] != hashlib.sha256(manifest["policy"]["app_id"].encode()).digest():
        raise ValueError("app id")


def measure(seconds, of_phones):
    """How many calls accepted (others raise) in about so many seconds of the processor's time, and in how many exactly."""
    start, calls = time.process_time(), 0
    while time.process_time() - start < seconds:
        of_phones[calls % len(of_phones)]()
        calls += 1
    return f"{calls} {time.process_time() - start:.6f}"


measured = {}
for family, judge in {"app-attest": attestation, "app-attest-assertion": assertion}.items():
    manifest = read(family)
    for case in manifest["cases"]:
        name = f"{family}/{case['id']}"
        if not bench and case["verify_at"] == int(now):
            try:
                judge(manifest, case)
                answer = "accept"
            except Exception:
                answer = "reject"
            print(name, answer)
        elif bench and name.split("~")[0] in bench[1:]:
            measured.setdefault(name.split("~")[0], []).append(functools.partial(judge, manifest, case))

if bench:
    # The first is to warm up.
    for _ in itertools.chain([""], sys.stdin):
        for name, of_phones in measured.items():
            print(name, measure(float(bench[0]), of_phones))
        print("end", flush=True)
