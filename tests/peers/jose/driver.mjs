// Verifies requests with the packages `jose` and `fast-jwt`, as an API in node would: PACKAGE FOLDER SECONDS. See ../README.md.
import { createHash, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createVerifier } from "fast-jwt";
import { EmbeddedJWK, calculateJwkThumbprint, createLocalJWKSet, jwtVerify } from "jose";

const [library, folder, seconds] = process.argv.slice(2);
const files = { es256: "ES256", eddsa: "EdDSA" };
const sha256 = (text) => createHash("sha256").update(text).digest("base64url");

function requireThat(claim, what) {
  if (!claim) throw new Error(what);
}

// What both have to do by hand. A proof passes once.
function bind({ attestation, token, proof, jkt }, request, given, seen) {
  requireThat(attestation.cnf.jkt === jkt, "attested key");
  requireThat(token.cnf.jkt === jkt, "key of the token");
  requireThat(proof.ath === sha256(given.token), "ath");
  requireThat(proof.htm === request.method && proof.htu === request.target, "method and target");
  requireThat(Math.abs(Date.now() / 1000 - proof.iat) < 3600, "iat");
  requireThat(!seen.has(proof.jti), "replay");
  seen.add(proof.jti);
}

async function verifierOfJose({ issuer, login, resource, keys }) {
  const [service, server] = [createLocalJWKSet(keys.service), createLocalJWKSet(keys.login)];
  return async (request, given, seen) => {
    const attested = { issuer, typ: "oauth-client-attestation+jwt" };
    const attestation = (await jwtVerify(given.attestation, service, attested)).payload;
    const token = (await jwtVerify(given.token, server, { issuer: login, audience: resource, typ: "at+jwt" })).payload;
    const { payload, protectedHeader } = await jwtVerify(request.proof, EmbeddedJWK, { typ: "dpop+jwt" });
    const jkt = await calculateJwkThumbprint(protectedHeader.jwk);
    attestation.cnf.jkt = await calculateJwkThumbprint(attestation.cnf.jwk);
    bind({ attestation, token, proof: payload, jkt }, request, given, seen);
  };
}

const members = { EC: ["crv", "kty", "x", "y"], OKP: ["crv", "kty", "x"] };
const thumbprint = (jwk) => sha256(JSON.stringify(Object.fromEntries(members[jwk.kty].map((name) => [name, jwk[name]]))));
const pem = (jwk) => createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });

// With `cache` the package remembers what it has verified, and this remembers a verifier for each key of a phone.
async function verifierOfFastJwt({ issuer, login, resource, keys }, algorithm, cache) {
  const of = (jwk, options) => createVerifier({ key: pem(jwk), algorithms: [algorithm], ...options });
  const service = of(keys.service.keys[0], { cache, allowedIss: issuer, checkTyp: "oauth-client-attestation+jwt" });
  const server = of(keys.login.keys[0], { cache, allowedIss: login, allowedAud: resource, checkTyp: "at+jwt" });
  const phones = new Map();
  return async (request, given, seen) => {
    const attestation = { ...service(given.attestation) };
    const token = server(given.token);
    const jkt = thumbprint(attestation.cnf.jwk);
    attestation.cnf = { jkt };
    const { jwk } = JSON.parse(Buffer.from(request.proof.split(".", 1)[0], "base64url"));
    requireThat(thumbprint(jwk) === jkt, "key of the proof");
    const verifier = phones.get(jkt) ?? of(jwk, { checkTyp: "dpop+jwt" });
    if (cache) phones.set(jkt, verifier);
    bind({ attestation, token, proof: verifier(request.proof), jkt }, request, given, seen);
  };
}

const cases = [];
for (const [name, algorithm] of Object.entries(files)) {
  const input = JSON.parse(readFileSync(`${folder}/${name}.json`, "utf8"));
  const add = (kind, verify) => cases.push({ name: `${name}/${kind}`, input, verify });
  if (library === "jose") {
    add("each-time", await verifierOfJose(input));
  } else {
    add("each-time", await verifierOfFastJwt(input, algorithm, false));
    add("remembered", await verifierOfFastJwt(input, algorithm, true));
  }
}

// How many requests passed (others throw) in about so many seconds of the processor's time, and in how many exactly.
async function measure(limit, { input, verify }) {
  const time = () => (({ user, system }) => (user + system) / 1e6)(process.cpuUsage());
  const start = time();
  let seen = new Set();
  for (let calls = 0; ; calls += 1) {
    const elapsed = time() - start;
    if (calls % 16 === 0 && elapsed > limit) return `${calls} ${elapsed.toFixed(6)}`;
    const request = input.requests[calls % input.requests.length];
    if (calls % input.requests.length === 0) seen = new Set();
    await verify(request, input.phones[request.phone], seen);
  }
}

async function measureAll(limit) {
  for (const one of cases) console.log(`${one.name} ${await measure(limit, one)}`);
  console.log("end");
}

// The first is to warm up.
await measureAll(4 * seconds);
for await (const _ of createInterface({ input: process.stdin })) await measureAll(Number(seconds));
