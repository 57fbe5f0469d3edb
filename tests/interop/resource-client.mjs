// oauth4webapi at our edge behind nginx: it reads the metadata, makes the DPoP proofs, and understands each refusal.
//
// In: { resource, issuer, accessToken, clientAttestation, key }, the key being the phone's as a private JWK.
// Out: { checked }, the number of things that it understood.
import { text } from 'node:stream/consumers';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';

const { resource, issuer, accessToken, clientAttestation, key } = JSON.parse(await text(process.stdin));
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: 'any' };
const keyPair = { privateKey: await jose.importJWK(key, 'ES256'), publicKey: await publicPart() };
let checked = 0;

async function publicPart() {
  const { d: _, ...part } = key;
  return jose.importJWK(part, 'ES256', { extractable: true });
}

async function check(what, test) {
  await test().catch((error) => {
    throw new Error(what, { cause: error });
  });
  checked += 1;
}

function call(path, options = {}) {
  const headers = new Headers(options.bare ? {} : { 'oauth-client-attestation': clientAttestation });
  const token = options.token ?? accessToken;
  const request = { DPoP: options.DPoP ?? oauth.DPoP(client, keyPair), ...insecure };
  if (options.fetch) request[oauth.customFetch] = options.fetch;
  return oauth.protectedResourceRequest(token, 'GET', new URL(path, resource), headers, undefined, request);
}

// The one challenge that a call is refused with, in the scheme of its token.
async function refused(status, promise) {
  const thrown = await promise.then(() => assert.fail('permitted'), (error) => error);
  assert(thrown instanceof oauth.WWWAuthenticateChallengeError, thrown);
  assert.equal(thrown.status, status);
  const [challenge, ...others] = thrown.cause;
  assert.deepEqual([challenge.scheme, others], ['dpop', []]);
  return { thrown, ...challenge.parameters };
}

await check('RFC 9728 metadata', async () => {
  const response = await oauth.resourceDiscoveryRequest(new URL(resource), insecure);
  const metadata = await oauth.processResourceDiscoveryResponse(new URL(resource), response);
  assert.deepEqual(metadata.authorization_servers, [issuer]);
  assert.deepEqual(metadata.dpop_signing_alg_values_supported, ['ES256']);
  assert.equal(metadata.dpop_bound_access_tokens_required, true);
  assert.deepEqual(metadata.client_attestation_pop_methods_supported, ['dpop_combined', 'countersign_proof']);
  assert.deepEqual(metadata.client_attestation_signing_alg_values_supported, ['ES256']);
});
await check('metadata of another resource are not taken', async () => {
  const response = await oauth.resourceDiscoveryRequest(new URL(resource), insecure);
  await assert.rejects(oauth.processResourceDiscoveryResponse(new URL('https://other.example'), response));
});
await check('a request without a token is told where to get one', async () => {
  const withoutToken = (url, { headers, ...rest }) => {
    const { authorization: _, dpop: __, ...left } = headers;
    return fetch(url, { ...rest, headers: left });
  };
  const error = await call('/v1/account', { bare: true, fetch: withoutToken }).catch((error) => error);
  assert(error instanceof oauth.WWWAuthenticateChallengeError, error);
  assert.deepEqual(error.cause.map(({ scheme }) => scheme), ['dpop', 'bearer']);
  const [dpop] = error.cause;
  assert.equal(dpop.parameters.algs, 'ES256');
  assert.equal(dpop.parameters.error, undefined);
  assert.equal(dpop.parameters.resource_metadata, `${resource}/.well-known/oauth-protected-resource`);
});
await check('a call with its own DPoP proofs is permitted', async () => {
  const response = await call('/v1/account');
  assert.equal(response.status, 200);
  const { lines } = await response.json();
  assert.deepEqual([lines['x-attested-subject'], lines['x-attested-assurance']], [['alice'], ['hardware']]);
});
await check('a token without an attestation', async () => {
  const { error } = await refused(401, call('/v1/account', { bare: true }));
  assert.equal(error, 'invalid_client_attestation');
});
await check('a nonce is asked for, kept, and used', async () => {
  const DPoP = oauth.DPoP(client, keyPair);
  const { thrown } = await refused(401, call('/v1/nonce', { DPoP }));
  assert(oauth.isDPoPNonceError(thrown), 'it knows that it is the nonce');
  assert.equal((await call('/v1/nonce', { DPoP })).status, 200);
});
await check('a scope that the token has not', async () => {
  const { error, scope } = await refused(403, call('/v1/scope'));
  assert.equal(error, 'insufficient_scope');
  assert.equal(scope, 'administer');
});
await check('step-up authentication', async () => {
  const { error, acr_values: wanted } = await refused(401, call('/v1/login'));
  assert.equal(error, 'insufficient_user_authentication');
  assert.equal(wanted, 'hardware-key');
});
await check('a token that was changed', async () => {
  const token = accessToken.replace(/.{8}$/, 'AAAAAAAA');
  const { error } = await refused(401, call('/v1/account', { token }));
  assert.equal(error, 'invalid_token');
});
await check('a request that is sent twice', async () => {
  const twice = async (...request) => (await fetch(...request), fetch(...request));
  const { error, reason } = await refused(401, call('/v1/account', { fetch: twice }));
  assert.equal(error, 'invalid_dpop_proof');
  assert.equal(reason, 'replayed');
});
await check('a query needs our member in the proof', async () => {
  const { error } = await refused(401, call('/v1/account?page=2'));
  assert.equal(error, 'invalid_dpop_proof');
  const countersign_query = createHash('sha256').update('page=2').digest('base64url');
  const add = (_, claims) => Object.assign(claims, { countersign_query });
  const DPoP = oauth.DPoP(client, keyPair, { [oauth.modifyAssertion]: add });
  assert.equal((await call('/v1/account?page=2', { DPoP })).status, 200);
});
await check('the proof of another key', async () => {
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  const { error } = await refused(401, call('/v1/account', { DPoP }));
  assert.match(error, /^invalid_(dpop_proof|client_attestation)$/);
});

console.log(JSON.stringify({ checked }));
