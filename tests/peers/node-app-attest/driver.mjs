// Runs the package `node-app-attest` over the corpus: FOLDER TIME [SECONDS CASE...]. See ../README.md.
import crypto from "node:crypto";
import { readFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { createInterface } from "node:readline";

const [folder, time, seconds, ...chosen] = process.argv.slice(2);
const read = (family) => JSON.parse(readFileSync(`${folder}/${family}.json`, "utf8"));
const families = { "app-attest": read("app-attest"), "app-attest-assertion": read("app-attest-assertion") };

// The package takes no root: it makes its own from PEM when it is loaded, and is given the corpus' instead.
const Genuine = crypto.X509Certificate;
crypto.X509Certificate = class extends Genuine {
  constructor(certificate) {
    super(typeof certificate === "string" ? families["app-attest"].roots[0] : certificate);
  }
};
syncBuiltinESMExports();
const { verifyAttestation, verifyAssertion } = await import("node-app-attest");

const bytes = (text) => Buffer.from(text, "base64");
const app = (manifest) => ({ teamIdentifier: manifest.policy.team_id, bundleIdentifier: manifest.policy.bundle_id });
const pem = (text) => `-----BEGIN PUBLIC KEY-----\n${text}\n-----END PUBLIC KEY-----\n`;
const verify = {
  "app-attest": (manifest, input) =>
    verifyAttestation({
      ...app(manifest),
      attestation: bytes(input.attestation_object),
      challenge: input.client_data,
      keyId: input.key_id,
      allowDevelopmentEnvironment: false,
    }),
  "app-attest-assertion": (manifest, input) =>
    verifyAssertion({
      ...app(manifest),
      assertion: bytes(input.assertion),
      payload: input.client_data,
      publicKey: pem(input.public_key_spki),
      signCount: input.previous_counter,
    }),
};

const everyCase = Object.entries(families).flatMap(([family, manifest]) =>
  manifest.cases.map((input) => ({ name: `${family}/${input.id}`, input, call: () => verify[family](manifest, input) })),
);

// How many calls accepted (others throw) in about so many seconds of the processor's time, and in how many exactly.
function measure(limit, ofPhones) {
  const seconds = () => (({ user, system }) => (user + system) / 1e6)(process.cpuUsage());
  const start = seconds();
  for (let calls = 16; ; calls += 16) {
    for (let i = 0; i < 16; i += 1) ofPhones[(calls + i) % ofPhones.length].call();
    const elapsed = seconds() - start;
    if (elapsed > limit) return `${calls} ${elapsed.toFixed(6)}`;
  }
}

function measureAll(limit) {
  for (const kind of chosen) {
    const ofPhones = everyCase.filter(({ name }) => name.split("~")[0] === kind);
    if (ofPhones.length > 0) console.log(`${kind} ${measure(limit, ofPhones)}`);
  }
  console.log("end");
}

if (seconds === undefined) {
  for (const { name, input, call } of everyCase) {
    if (time !== "all" && input.verify_at !== Number(time)) continue;
    let answer = "accept";
    try {
      call();
    } catch {
      answer = "reject";
    }
    console.log(`${name} ${answer}`);
  }
} else {
  // The first is to warm up.
  measureAll(8 * seconds);
  for await (const _ of createInterface({ input: process.stdin })) measureAll(Number(seconds));
}
