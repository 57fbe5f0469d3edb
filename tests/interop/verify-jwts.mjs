// Our JWTs in `jose`: each verifies with the key that its issuer names, and nothing that was changed does.
//
// In: { jwks, issuer, clientId, issued: {name: jwt}, pop: {jwt, issuer}, dpop: {jwt, target} }. Out: { verified, refused }.
import { text } from 'node:stream/consumers';
import assert from 'node:assert/strict';
import * as jose from 'jose';

const input = JSON.parse(await text(process.stdin));
const count = { verified: 0, refused: 0 };
const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const other = await jose.generateKeyPair('ES256');

// Every way in which a token must not verify.
async function isRefusedWhenChanged(token, verify, key) {
  const [header, claims, signature] = token.split('.');
  const flipped = (part) => {
    const bytes = Buffer.from(part, 'base64url');
    bytes[bytes.length >> 1] ^= 1;
    return bytes.toString('base64url');
  };
  const renamed = (change) => base64url({ ...jose.decodeProtectedHeader(token), ...change });
  const publicKey = Buffer.from(JSON.stringify(await jose.exportJWK(key)));
  const confused = (input) => new jose.SignJWT(jose.decodeJwt(token)).setProtectedHeader({ ...input, alg: 'HS256' }).sign(publicKey);
  const resigned = new jose.SignJWT(jose.decodeJwt(token)).setProtectedHeader(jose.decodeProtectedHeader(token));
  const changed = {
    'a flipped bit in the claims': `${header}.${flipped(claims)}.${signature}`,
    'a flipped bit in the signature': `${header}.${claims}.${flipped(signature)}`,
    'alg none': `${renamed({ alg: 'none' })}.${claims}.`,
    'another alg': `${renamed({ alg: 'ES384' })}.${claims}.${signature}`,
    'the public key as a secret': await confused(jose.decodeProtectedHeader(token)),
    'another key': await resigned.sign(other.privateKey),
    'another typ': `${renamed({ typ: 'JWT' })}.${claims}.${signature}`,
  };
  for (const [what, forged] of Object.entries(changed)) {
    await assert.rejects(verify(forged), jose.errors.JOSEError, what);
    count.refused += 1;
  }
}

async function verifies(token, verify) {
  const { payload, key } = await verify(token);
  count.verified += 1;
  await isRefusedWhenChanged(token, verify, key);
  return payload;
}

const ours = jose.createLocalJWKSet(input.jwks);
const resolved = async (token, keys, options) => {
  const verified = await jose.jwtVerify(token, keys, options);
  return { ...verified, key: verified.key ?? (await keys(verified.protectedHeader)) };
};

let instanceKey;
for (const [name, token] of Object.entries(input.issued)) {
  const options = {
    issuer: input.issuer,
    subject: input.clientId,
    typ: 'oauth-client-attestation+jwt',
    algorithms: ['ES256'],
    requiredClaims: ['sub', 'iat', 'exp', 'cnf'],
  };
  const claims = await verifies(token, (forged) => resolved(forged, ours, options));
  assert.equal(Boolean(claims.countersign), name === 'resource', 'the member is for resources alone');
  assert.deepEqual(Object.keys(claims.cnf.jwk).sort(), ['crv', 'kty', 'x', 'y']);
  instanceKey = claims.cnf.jwk;
}

const possessed = await jose.importJWK(instanceKey, 'ES256');
await verifies(input.pop.jwt, async (token) => {
  const typ = 'oauth-client-attestation-pop+jwt';
  const options = { typ, audience: input.pop.issuer, algorithms: ['ES256'], requiredClaims: ['jti', 'iat'] };
  return { ...(await jose.jwtVerify(token, possessed, options)), key: possessed };
});

const thumbprint = await jose.calculateJwkThumbprint(instanceKey);
const dpop = await verifies(input.dpop.jwt, async (token) => {
  const options = { typ: 'dpop+jwt', algorithms: ['ES256'], requiredClaims: ['jti', 'iat', 'htm', 'htu'] };
  const verified = await resolved(token, jose.EmbeddedJWK, options);
  // The key that a proof brings along says nothing; RFC 9449 section 4.3 compares it.
  if ((await jose.calculateJwkThumbprint(verified.protectedHeader.jwk)) !== thumbprint) throw new jose.errors.JWSInvalid();
  return verified;
});
assert.deepEqual([dpop.htm, dpop.htu], ['POST', input.dpop.target]);

console.log(JSON.stringify(count));
